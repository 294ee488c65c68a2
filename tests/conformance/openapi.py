"""What the specification's OpenAPI document says about the input of an operation."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conformance.operations import Operation, done_operations

Place = tuple[str | int, ...]

needs_spec: Final = pytest.mark.skipif(
    "MATRIX_SPEC" not in os.environ, reason="MATRIX_SPEC is not set: no schemas"
)

_DEPTH_MAX: Final = 5
_ERROR_CODE: Final = re.compile(r"\bM_[A-Z_]+\b")


@dataclass(frozen=True, slots=True)
class BodyField:
    """A place in a body, and the JSON types that may stand there (none: any)."""

    place: Place
    types: frozenset[str]
    required: bool = False


def query_parameters(operation: Operation) -> list[str]:
    """The names of the query parameters."""
    parameters = _described(operation).get("parameters", [])
    return [each["name"] for each in parameters if each["in"] == "query"]


def body_fields(operation: Operation) -> list[BodyField]:
    """Every field of the JSON body, nested ones too."""
    content = _described(operation).get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    return list(_merged(_fields(schema, ())))


def operations_with_body() -> list[Operation]:
    """Those that are there and take JSON; none without `MATRIX_SPEC`."""
    if "MATRIX_SPEC" not in os.environ:
        return []
    return [each for each in done_operations() if _takes_json(each)]


def _takes_json(operation: Operation) -> bool:
    body = _described(operation).get("requestBody", {})
    return "application/json" in body.get("content", ())


def content_fields(event_type: str) -> list[BodyField]:
    """Every field of the content of an event."""
    return list(_merged(_fields(_event_content(event_type), ())))


def state_event_types() -> list[str]:
    """The types of state events; none without `MATRIX_SPEC`."""
    if "MATRIX_SPEC" not in os.environ:
        return []
    events = _load("events.json")["events"]
    return [name for name, each in events.items() if each["kind"] == "state event"]


def error_codes() -> set[str]:
    """Every error code that the specification names somewhere."""
    root = Path(os.environ["MATRIX_SPEC"])
    files = [*root.glob("text/**/*.md"), *root.glob("openapi/*.json")]
    return {code for file in files for code in _ERROR_CODE.findall(file.read_text())}


def _merged(fields: Iterator[BodyField]) -> Iterator[BodyField]:
    """One field a place, where alternatives describe it more than once."""
    found: dict[Place, BodyField] = {}
    for field in fields:
        old = found.get(field.place)
        if old is None:
            found[field.place] = field
        else:
            either = old.types | field.types if old.types and field.types else ()
            found[field.place] = replace(old, types=frozenset(either), required=False)
    yield from found.values()


def _fields(schema: dict[str, Any], place: Place) -> Iterator[BodyField]:
    if len(place) >= _DEPTH_MAX:
        return
    for form in _forms(schema):
        required = form.get("required", ())
        children = dict(form.get("properties", {}))
        if isinstance(extra := form.get("additionalProperties"), dict) and extra:
            children["org.example.key"] = extra
        for key, child in children.items():
            yield BodyField((*place, key), _types(child), key in required)
            yield from _fields(child, (*place, key))
        if isinstance(items := form.get("items"), dict):
            yield BodyField((*place, 0), _types(items))
            yield from _fields(items, (*place, 0))


def _types(schema: dict[str, Any]) -> frozenset[str]:
    found: set[str] = set()
    for form in _forms(schema):
        types = form.get("type", ())
        found |= {types} if isinstance(types, str) else set(types)
    return frozenset(found)


def _forms(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and what it refers to, adds or offers as alternatives."""
    yield schema
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _forms(_openapi()["components"]["schemas"][name])
    for keyword in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(keyword, ()):
            yield from _forms(part)


def _described(operation: Operation) -> dict[str, Any]:
    methods = _openapi()["paths"][operation.path]
    described: dict[str, Any] = methods[operation.method.lower()]
    return described


def _event_content(event_type: str) -> dict[str, Any]:
    schema = _load("events.json")["events"][event_type]["schema"]
    content: dict[str, Any] = schema["properties"]["content"]
    return content


def _openapi() -> dict[str, Any]:
    return _load("openapi/client-server.json")


@cache
def _load(name: str) -> dict[str, Any]:
    root = Path(os.environ["MATRIX_SPEC"])
    loaded: dict[str, Any] = json.loads((root / name).read_bytes())
    return loaded
