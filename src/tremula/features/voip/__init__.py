"""What calls need of the server (CS "Voice over IP")."""
