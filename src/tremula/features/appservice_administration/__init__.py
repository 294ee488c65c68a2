"""Operators look at application services, and change them while the server runs."""
