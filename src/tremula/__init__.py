"""Tremula: a Matrix homeserver, one small process or many."""

# Here and not in pyproject.toml: asking importlib.metadata costs 30 ms of the start.
__version__ = "0.1.0"
