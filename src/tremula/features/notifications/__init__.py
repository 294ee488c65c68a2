"""The list of what a user was notified of (CS "Listing Notifications")."""
