"""The Matrix rules as pure functions and frozen values.

No I/O, no asyncio, no clock, no randomness, no logging.
"""
