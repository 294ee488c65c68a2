"""Simplified sliding sync (MSC4186), as clients know it by its unstable name."""
