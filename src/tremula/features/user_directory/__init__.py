"""Finding people by name (CS "User Directory")."""
