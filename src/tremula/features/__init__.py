"""Vertical slices of the homeserver, named after the spec's modules."""
