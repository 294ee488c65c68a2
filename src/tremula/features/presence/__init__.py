"""Presence (CS "Presence")."""
