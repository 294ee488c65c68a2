"""The server's own signing keys (SS "Retrieving server keys")."""
