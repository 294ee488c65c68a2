"""Strict parsing of JSON from outside.

orjson does the work and refuses bad UTF-8, byte order marks, NaN, infinities and lone
surrogates by itself. What it lets pass is caught here: duplicate keys, of which two
programs may each see another one, and nesting so deep that later code would fail.
"""

import json
import re
from typing import Any

import orjson

from tremula.protocol.errors import NotJson

DEPTH_MAX = 100
# Events of other servers may be nested deeper than what our users may send.
PEER_DEPTH_MAX = 200

# 2^64 has twenty digits. As good as no other run of digits in an event is as long.
_LONG_INTEGER = re.compile(rb"[0-9]{20}")
_CONTAINERS = frozenset({dict, list})
_SPACED_COLON = re.compile(rb'"[ \t\n\r]+:')
_SPACES = (b" ", b"\n", b"\t", b"\r")


def parse_json(raw: bytes, *, depth_max: int = DEPTH_MAX) -> object:
    """Parse JSON from a peer; at most *depth_max* arrays and objects inside each other.

    Integers from 2^64 on become floats, which ``canonical.check_canonical`` refuses.
    Measured with timeit: 1 to 3 µs for a body of 200 bytes.

    Raises:
        NotJson: not UTF-8, not JSON, a key twice in one object, or too deep.
    """
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"not valid JSON: {error}") from error
    objects = raw.count(b"{")
    if objects + raw.count(b"[") > depth_max:
        keys = _count_keys(value, depth_max)
    elif objects == 1 and type(value) is dict:
        keys = len(value)
    elif _keeps_all_colons(raw, value):
        return value
    else:
        keys = _count_keys(value, depth_max)
    if objects and not _shows_no_key_twice(raw, keys):
        _check_duplicate_keys(raw)
    return value


def parse_json_exact(raw: bytes, *, depth_max: int = PEER_DEPTH_MAX) -> object:
    """As ``parse_json``, but integers stay what they are, however large.

    For what other servers send: the hashes and signatures of events of room versions
    1 to 5 cover such numbers.

    Raises:
        NotJson: as ``parse_json``; or an integer has thousands of digits.
    """
    value = parse_json(raw, depth_max=depth_max)
    try:
        return loads_exact(raw) if _LONG_INTEGER.search(raw) else value
    except ValueError as error:
        raise NotJson(f"not valid JSON: {error}") from error


def encode_to_keep(value: object) -> bytes:
    """*value* as JSON that stays in memory.

    What orjson returns holds on to the 4 KB that it was written into, however short it
    is (3.13): this is a copy.

    Raises:
        TypeError: it cannot be JSON.
    """
    return b"%b" % orjson.dumps(value)


def loads_exact(raw: bytes) -> Any:  # noqa: ANN401 - whatever was stored
    """Our own JSON, in which integers may have any size."""
    return json.loads(raw) if _LONG_INTEGER.search(raw) else orjson.loads(raw)


def _keeps_all_colons(raw: bytes, value: object) -> bool:
    """Whether *value*, parsed from *raw*, is written with as many colons: so no key was
    lost, nor any string. A loop in C, in place of one over all values; most clients
    write just what is written here, which takes no loop.

    Where characters are escaped by their numbers, there may be colons among them.
    """
    written = orjson.dumps(value)
    # `in` would raise and catch an error first, as each time that it is asked of bytes.
    return written == raw or (
        raw.find(b"\\u") < 0 and written.count(b":") == raw.count(b":")
    )


def _shows_no_key_twice(raw: bytes, keys: int) -> bool:
    """Whether counting alone proves that no key was lost in parsing *raw* to *keys*.

    Each key in *raw* brings one colon and, without white space between, one '":'.
    Strings may only add to either count. So if one equals the number of keys that came
    out of the parser, as many went in.
    """
    if raw.count(b":") == keys:
        return True
    if raw.count(b'":') != keys:
        return False
    return not any(map(raw.__contains__, _SPACES)) or not _SPACED_COLON.search(raw)


def _count_keys(root: object, depth_max: int) -> int:
    """How many keys all objects have together.

    Raises:
        NotJson: there are more than *depth_max* arrays and objects inside each other.
    """
    count = 0
    level = [root]
    for _ in range(depth_max):
        inner: list[object] = []
        for value in level:
            if type(value) is dict:
                count += len(value)
                inner += value.values()
            elif type(value) is list:
                inner += value
        level = [each for each in inner if type(each) in _CONTAINERS]
        if not level:
            return count
    raise NotJson(f"nested deeper than {depth_max} levels")


def _check_duplicate_keys(raw: bytes) -> None:
    """Parse again, looking at each key: some ten times slower.

    orjson has accepted *raw*, and its depth is bounded. Numbers are not looked at: an
    integer of many digits would take long to convert.
    """
    json.loads(raw, object_pairs_hook=_refuse_duplicates, parse_int=len)


def _refuse_duplicates(pairs: list[tuple[str, object]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise NotJson("a key occurs twice in one object")
        seen.add(key)
