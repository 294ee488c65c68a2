"""Requests to application services, by whichever way they can be reached."""
