"""Reading the events of a room (CS "Getting events for a room")."""
