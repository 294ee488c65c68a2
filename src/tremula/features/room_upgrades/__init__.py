"""Moving a room to another room version (CS module "Room Upgrades")."""
