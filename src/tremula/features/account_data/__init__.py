"""Account data and tags (CS "Client Config", "Room Tagging")."""
