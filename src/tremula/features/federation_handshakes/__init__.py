"""Joining, leaving, knocking and inviting over federation (SS "Joining Rooms" …)."""
