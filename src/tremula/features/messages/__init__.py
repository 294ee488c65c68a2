"""Sending messages, state and redactions (CS "Sending events to a room")."""
