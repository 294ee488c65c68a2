"""Asking other servers: where they are, and signed requests to them."""
