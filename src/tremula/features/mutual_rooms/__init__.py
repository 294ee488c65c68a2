"""The rooms that two users share (CS module "Mutual Rooms")."""
