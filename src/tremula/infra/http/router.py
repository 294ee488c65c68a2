"""From method and raw path to a handler.

The path is split before it is decoded, so that ``%2F`` stays within its part: event
IDs of room version 3 contain slashes.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from tremula.infra.config import Api
from tremula.infra.http.endpoint import Endpoint, endpoints_of
from tremula.infra.http.response import Json
from tremula.protocol.errors import InvalidParam, Unrecognized


class BoundEndpoint(Struct, frozen=True):
    """An endpoint, the function that answers it and the service it is given."""

    endpoint: Endpoint
    function: Callable[[Any, Any], Awaitable[Json]]
    service: object

    @property
    def operation(self) -> str:
        """The operation ID in snake case, for metrics and logs."""
        return self.function.__name__


class Router:
    """Collects the endpoints of all features."""

    def __init__(self) -> None:
        self._bound: list[BoundEndpoint] = []

    def add(self, routes: ModuleType, service: object) -> None:
        """Bind every `endpoint` function of the module *routes* to *service*."""
        before = len(self._bound)
        for function in vars(routes).values():
            # What a module merely imported is bound by its own module.
            if getattr(function, "__module__", None) == routes.__name__:
                self._bound += [
                    BoundEndpoint(declared, function, service)
                    for declared in endpoints_of(function)
                ]
        if len(self._bound) == before:
            raise ValueError(f"{routes.__name__} declares no endpoint")

    def bound(self, apis: frozenset[Api] = frozenset(Api)) -> list[BoundEndpoint]:
        """The endpoints that a listener for *apis* serves."""
        return [bound for bound in self._bound if bound.endpoint.apis & apis]


class Routable(Protocol):
    """Anything that has an endpoint."""

    @property
    def endpoint(self) -> Endpoint:
        """What the target answers."""
        ...


T = TypeVar("T", bound=Routable)


class RouteTable(Generic[T]):
    """Finds the target of a method and raw path; one per listener."""

    def __init__(self, targets: Iterable[T]) -> None:
        self._targets = tuple(targets)
        endpoints = (target.endpoint for target in self._targets)
        self._root = _tree_of(tuple((each.method, each.path) for each in endpoints))
        # Who has no parameters, half of all requests, is found without a descent: a
        # literal part wins over a parameter.
        self._fixed = {
            (target.endpoint.method, target.endpoint.path.encode("ascii")): target
            for target in self._targets
            if "{" not in target.endpoint.path
        }

    def find(self, method: str, raw_path: bytes) -> tuple[T, dict[str, str]]:
        """The target, and the decoded parts of the path by name.

        Raises:
            Unrecognized: nothing has this path (404), or not with this method (405).
            InvalidParam: a part of the path is not UTF-8, or contains NUL.
        """
        fixed = self._fixed.get((method, raw_path))
        if fixed is not None:
            return fixed, {}
        values: list[str] = []
        node = _descend(self._root, _decoded_parts(raw_path), values)
        if node is None:
            raise Unrecognized("there is no such endpoint")
        answer = node.answers.get("GET" if method == "HEAD" else method)
        if answer is None:
            raise Unrecognized("the endpoint has no such method", status=405)
        target = self._targets[answer.number]
        return target, dict(zip(answer.names, values, strict=True))


class _Answer(Struct, frozen=True):
    """The number of a target, and the names of the parameters on the way to it."""

    number: int
    names: tuple[str, ...]


class _Node:
    """The parts of all paths at one depth below one prefix."""

    __slots__ = ("answers", "literal", "parameter")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.answers: dict[str, _Answer] = {}


@lru_cache(maxsize=8)
def _tree_of(endpoints: tuple[tuple[str, str], ...]) -> _Node:
    """The paths of *endpoints*, which are pairs of a method and a path.

    Listeners that serve the same share it: to make it takes some milliseconds.
    """
    root = _Node()
    for number, (method, path) in enumerate(endpoints):
        node, names = root, []
        for part in _parts(path):
            if part.startswith("{"):
                names.append(part[1:-1])
                node.parameter = node = node.parameter or _Node()
            else:
                node = node.literal.setdefault(part, _Node())
        if method in node.answers:
            raise ValueError(f"two handlers for {method} {path}")
        node.answers[method] = _Answer(number, tuple(names))
    _serve_r0(root)
    return root


def _serve_r0(root: _Node) -> None:
    """What is v3 now was r0 up to 2021, and Hydrogen asks for nothing else."""
    matrix = root.literal.get("_matrix")
    for api in matrix.literal.values() if matrix else ():
        if "v3" in api.literal:
            api.literal["r0"] = api.literal["v3"]


def _descend(node: _Node, parts: Sequence[str], values: list[str]) -> _Node | None:
    """The node of the path *parts*, adding what parameters match to *values*.

    Literal parts win over parameters, whose way is tried second.
    """
    for depth, part in enumerate(parts):
        following = node.literal.get(part)
        if following is None:
            following = node.parameter
            if following is None or not part:
                return None
            values.append(part)
        elif node.parameter is not None and part:
            matched = len(values)
            found = _descend(following, parts[depth + 1 :], values)
            if found is not None:
                return found
            del values[matched:]
            following = node.parameter
            values.append(part)
        node = following
    return node if node.answers else None


def _parts(path: str) -> list[str]:
    parts = path[1:].split("/")
    if not parts[-1]:
        del parts[-1]
    return parts


def _decoded_parts(raw_path: bytes) -> list[str]:
    path = raw_path.decode("latin-1")
    parts = _parts(path)
    if "%" in path or not path.isascii():
        # Most parts are as they were written even so, and decoding is slow.
        return [
            _decode(part) if "%" in part or not part.isascii() else part
            for part in parts
        ]
    return parts


def _decode(part: str) -> str:
    try:
        text = unquote_to_bytes(part.encode("latin-1")).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParam("the path is not UTF-8") from None
    if "\0" in text:
        raise InvalidParam("the path contains NUL")
    return text
