"""Devices that live on the server, asleep (MSC3814)."""
