"""Rooms that administrators let nobody into; not in the specification."""
