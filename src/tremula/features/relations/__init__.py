"""Events by what they relate to, and the threads of a room (CS "Relations API")."""
