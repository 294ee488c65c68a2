"""What is looked into here is also how sessions with a database begin and end."""

import pytest


@pytest.fixture
def databases_to_share() -> None:
    """No test gets a database that another one had."""
