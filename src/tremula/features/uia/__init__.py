"""User-interactive authentication (CS "User-Interactive Authentication API")."""
