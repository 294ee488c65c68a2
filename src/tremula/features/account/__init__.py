"""One's own account (CS "Account management")."""
