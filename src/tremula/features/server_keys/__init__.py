"""Signing keys: our own, those of others (SS "Retrieving server keys")."""
