"""Encrypted copies of room keys (CS "Server-side key backups")."""
