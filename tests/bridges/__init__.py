"""Real bridges against a real server; run by `make test-bridges`."""
