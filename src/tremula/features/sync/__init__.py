"""Syncing (CS "Syncing")."""
