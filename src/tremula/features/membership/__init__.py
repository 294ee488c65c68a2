"""Joining, inviting, leaving, knocking and banning (CS "Room membership")."""
