"""A client of which nothing is known."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FakeRequestingClient:
    """Implements ``infra.http.RequestingClient``."""

    client_ip: str = ""
    user_agent: str = ""
