"""Asking application services for users and aliases that are not there yet."""
