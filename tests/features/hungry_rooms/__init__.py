"""What bridges do in rooms that do not federate."""
