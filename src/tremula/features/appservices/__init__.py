"""Application services: who they are, and what is theirs (the spec's AS API)."""
