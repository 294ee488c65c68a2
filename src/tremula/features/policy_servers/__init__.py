"""Asking policy servers to sign events (SS "Policy Servers")."""
