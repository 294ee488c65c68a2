"""Transactions between servers (SS "Transactions", "PDUs", "EDUs")."""
