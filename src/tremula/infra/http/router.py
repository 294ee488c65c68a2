"""From method and raw path to a handler.

A path in which there is a ``%2F`` is split before it is decoded, so that it stays
within its part: event IDs of room version 3 contain slashes.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from types import ModuleType
from typing import Any, Final, Generic, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from tremula.infra.config import Api
from tremula.infra.http.endpoint import Endpoint, endpoints_of
from tremula.infra.http.response import Json
from tremula.protocol.errors import InvalidParam, Unrecognized

# A number: bytes are searched for one at a sixth of the price.
_PERCENT: Final = ord("%")


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
    """Finds the target of a method and raw path; one per listener.

    Where a literal part and a parameter both match, the literal wins. That takes one
    look into a dictionary for each order in which literals and parameters follow each
    other in paths as long as this one, of which there are five at most.
    """

    def __init__(self, targets: Iterable[T]) -> None:
        self._targets = tuple(targets)
        endpoints = [target.endpoint for target in self._targets]
        self._shapes = _shapes_of(tuple((each.method, each.path) for each in endpoints))
        # Who has no parameters, half of all requests, needs no parts either.
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
        parts = _decoded_parts(raw_path)
        answers = self._match(parts) or self._match(_as_v3(parts))
        if answers is None:
            raise Unrecognized("there is no such endpoint")
        answer = answers.get("GET" if method == "HEAD" else method)
        if answer is None:
            raise Unrecognized("the endpoint has no such method", status=405)
        path: dict[str, str] = {}
        for name, place in answer.parameters:
            path[name] = parts[place]
        return self._targets[answer.number], path

    def _match(self, parts: list[str]) -> "_Answers | None":
        # No literal is empty, and no parameter may be.
        if "" not in parts:
            for shape in self._shapes.get(len(parts), ()):
                answers = shape.answers.get(shape.literals_of(parts))
                if answers is not None:
                    return answers
        return None


class _Answer(Struct, frozen=True):
    """The number of a target, and its parameters with their places in the path."""

    number: int
    parameters: tuple[tuple[str, int], ...]


_Answers = dict[str, _Answer]
"""By method."""


class _Shape(Struct, frozen=True):
    """All paths with literals in the same places, by these literals."""

    literals_of: Callable[[Sequence[str]], Hashable]
    answers: dict[Hashable, _Answers]


@lru_cache(maxsize=8)
def _shapes_of(
    endpoints: tuple[tuple[str, str], ...],
) -> dict[int, list[_Shape]]:
    """The paths of *endpoints*, which are pairs of a method and a path, by how many
    parts they have; those whose literals come first, first.

    Listeners that serve the same share it: to make it takes some milliseconds.
    """
    shapes: dict[tuple[bool, ...], _Shape] = {}
    for number, (method, path) in enumerate(endpoints):
        parts = _parts(path)
        kinds = tuple(not part.startswith("{") for part in parts)
        shape = shapes.get(kinds)
        if shape is None:
            places = (place for place, is_literal in enumerate(kinds) if is_literal)
            shape = shapes[kinds] = _Shape(itemgetter(*places), {})
        answers = shape.answers.setdefault(shape.literals_of(parts), {})
        if method in answers:
            raise ValueError(f"two handlers for {method} {path}")
        parameters = tuple(
            (part[1:-1], place)
            for place, part in enumerate(parts)
            if part.startswith("{")
        )
        answers[method] = _Answer(number, parameters)
    by_length: dict[int, list[_Shape]] = {}
    for kinds in sorted(shapes, reverse=True):
        by_length.setdefault(len(kinds), []).append(shapes[kinds])
    return by_length


def _as_v3(parts: list[str]) -> list[str]:
    """What is v3 now was r0 up to 2021, and Hydrogen asks for nothing else."""
    if parts[:1] == ["_matrix"] and parts[2:3] == ["r0"]:
        return [*parts[:2], "v3", *parts[3:]]
    return []


def _parts(path: str) -> list[str]:
    parts = path[1:].split("/")
    if not parts[-1]:
        del parts[-1]
    return parts


def _decoded_parts(raw_path: bytes) -> list[str]:
    if _PERCENT not in raw_path and raw_path.isascii():
        return _parts(raw_path.decode("ascii"))
    if b"%2f" in raw_path.lower():
        parts = _parts(raw_path.decode("latin-1"))
        return [_decode(part.encode("latin-1")) for part in parts]
    # No slash comes of decoding, so that all parts are decoded at once.
    return _parts(_decode(raw_path))


def _decode(raw: bytes) -> str:
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParam("the path is not UTF-8") from None
    if "\0" in text:
        raise InvalidParam("the path contains NUL")
    return text
