"""Filters that clients keep on the server (CS "Filtering")."""
