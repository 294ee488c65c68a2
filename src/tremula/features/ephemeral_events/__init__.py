"""Ephemeral events of any type in rooms (``com.beeper.ephemeral``, MSC2477)."""
