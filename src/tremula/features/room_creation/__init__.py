"""Creating rooms (CS "Creation")."""
