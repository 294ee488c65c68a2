"""Accounts that administrators restrict (CS "Account moderation")."""
