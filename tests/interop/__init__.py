"""Servers as processes that speak with each other over TLS: Tremula and Synapse."""
