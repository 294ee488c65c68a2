"""Builds the services, by plain constructor calls; `app.py` says in which order."""
