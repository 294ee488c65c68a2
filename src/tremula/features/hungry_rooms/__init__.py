"""What bridges ask of rooms that don't federate; not in the specification."""
