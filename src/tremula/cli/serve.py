"""``tremula serve``."""


def serve() -> None:
    """Run the server until it is told to stop."""
