"""Logging in and out (CS "Login")."""
