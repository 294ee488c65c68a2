"""Relations between events."""
