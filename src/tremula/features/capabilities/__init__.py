"""What the server can do (CS "API Versions", "Capabilities negotiation")."""
