"""Profiles (CS "Profiles")."""
