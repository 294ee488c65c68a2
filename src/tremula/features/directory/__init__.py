"""Room aliases and the published room directory (CS "Room aliases")."""
