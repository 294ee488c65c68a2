"""Networks that application services bridge to (CS "Third-party Networks")."""
