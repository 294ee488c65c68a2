"""A room's state and members as clients read them (CS "Rooms")."""
