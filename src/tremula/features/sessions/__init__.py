"""Access and refresh tokens (CS "Using access tokens")."""
