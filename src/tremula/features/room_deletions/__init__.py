"""Rooms that administrators look at, block and delete; not in the specification."""
