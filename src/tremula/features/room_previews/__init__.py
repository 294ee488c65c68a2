"""Looking into a room without being in it (CS module "Room Previews")."""
