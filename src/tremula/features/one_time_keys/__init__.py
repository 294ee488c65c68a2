"""One-time and fallback keys (CS "End-to-End Encryption")."""
