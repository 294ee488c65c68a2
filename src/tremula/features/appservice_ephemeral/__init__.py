"""Typing, receipts, presence for bridges (AS "Pushing ephemeral data")."""
