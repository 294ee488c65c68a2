"""New accounts (CS "Account registration")."""
