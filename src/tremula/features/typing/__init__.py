"""Typing notifications (CS "Typing Notifications")."""
