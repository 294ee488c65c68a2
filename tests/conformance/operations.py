"""The operations of the client-server API: which are there, and which are not yet.

``operations.txt`` lists them as the specification's ``endpoints.json`` does; with
``MATRIX_SPEC`` set a test holds the two together.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LIST: Final = Path(__file__).with_name("operations.txt")
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PARAMETER: Final = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """A method, the path it stands on, and the specification's name of both."""

    method: str
    path: str
    operation_id: str

    @property
    def handler_name(self) -> str:
        """The name that the handler must have."""
        return _CAPITAL.sub("_", self.operation_id).lower()

    @property
    def route(self) -> tuple[str, str]:
        """What tells it from others, whatever the parts of the path are called."""
        return route(self.method, self.path)

    def path_with(self, value: str) -> str:
        """The path with *value* in every place where anything may stand."""
        return _PARAMETER.sub(value, self.path)


def route(method: str, path: str) -> tuple[str, str]:
    """A method and path without the names of its parameters."""
    return method, _PARAMETER.sub("{}", path).rstrip("/")


def all_operations() -> list[Operation]:
    """Every operation of the client-server API."""
    lines = _LIST.read_text(encoding="utf-8").splitlines()
    return [Operation(*line.split(" ")) for line in lines]


def done_operations() -> list[Operation]:
    """Those that are there."""
    return [each for each in all_operations() if each.operation_id not in NOT_YET]


def _grouped(reasons: Mapping[str, Iterable[str]]) -> dict[str, str]:
    return {
        operation_id: reason
        for reason, operation_ids in reasons.items()
        for operation_id in operation_ids
    }


# Shares path and handler with another operation: either body is taken.
SHARED: Final = frozenset({"inviteBy3PID", "peekEvents"})

# By the reason. An operation leaves the list when it is done; none may be added.
NOT_YET: Final = _grouped(
    {
        "Single sign-on and OAuth 2.0 (a later issue)": (
            "getAuthMetadata",
            "redirectToIdP",
            "redirectToSSO",
        ),
    }
)

# Lower it with every operation that is done.
NOT_YET_COUNT: Final = 3
