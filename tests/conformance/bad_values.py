"""JSON, parts of paths and query parameters as nobody should send them."""

import random
from dataclasses import dataclass
from typing import Final

# Nothing compresses it: PostgreSQL's indexes take no more than 2,704 bytes.
_LONG: Final = random.Random(0).randbytes(30_000).hex()  # noqa: S311 - no secret


@dataclass(frozen=True, slots=True)
class BadValue:
    """A value as it stands in a request; ``json_type`` as JSON Schema names it.

    "invalid" is the type of what is no JSON, or not JSON that a server may take. What
    is not ``canonical`` may stand in a request, but not in an event.
    """

    name: str
    raw: bytes
    json_type: str
    canonical: bool = True

    def fits(self, types: frozenset[str]) -> bool:
        """Whether one of the *types* allows it; without any, everything does."""
        if self.json_type == "invalid":
            return False
        return (
            not types
            or self.json_type in types
            or (self.json_type == "integer" and "number" in types)
        )


VALUES: Final = (
    BadValue("null", b"null", "null"),
    BadValue("true", b"true", "boolean"),
    BadValue("zero", b"0", "integer"),
    BadValue("negative", b"-1", "integer"),
    BadValue("two to the 53rd", b"9007199254740992", "integer", canonical=False),
    BadValue("minus two to the 53rd", b"-9007199254740992", "integer", canonical=False),
    BadValue("two to the 63rd", b"9223372036854775808", "integer", canonical=False),
    BadValue("two to the 64th", b"18446744073709551616", "integer", canonical=False),
    BadValue("5000 digits", b"9" * 5_000, "integer", canonical=False),
    BadValue("float", b"1.5", "number", canonical=False),
    BadValue("minus zero", b"-0.0", "number", canonical=False),
    BadValue("exponent", b"1e2", "number", canonical=False),
    BadValue("beyond floats", b"1e400", "number", canonical=False),
    BadValue("NaN", b"NaN", "invalid"),
    BadValue("empty string", b'""', "string"),
    BadValue("string", b'"x"', "string"),
    BadValue("sigils", b'"@!#$:/%2F..\\\\"', "string"),
    BadValue("long string", f'"{_LONG}"'.encode(), "string"),
    BadValue(
        "wide string", '"{}"'.format("\N{PILE OF POO}" * 5_000).encode(), "string"
    ),
    BadValue("NUL", b'"a\\u0000b"', "string"),
    BadValue("lone surrogate", b'"\\ud800"', "invalid"),
    BadValue("surrogates swapped", b'"\\udc00\\ud800"', "invalid"),
    BadValue("overlong UTF-8", b'"\xc0\xaf"', "invalid"),
    BadValue("overlong NUL", b'"\xc0\x80"', "invalid"),
    BadValue("raw NUL", b'"a\x00b"', "invalid"),
    BadValue("BOM in a string", b'"\xef\xbb\xbf"', "string"),
    BadValue("BOM before a string", b'\xef\xbb\xbf"x"', "invalid"),
    BadValue("empty list", b"[]", "array"),
    BadValue("list of null", b"[null]", "array"),
    BadValue("list of lists", b"[[[]],[1.5]]", "array", canonical=False),
    BadValue("list of strings", b'["x","","@x:y"]', "array"),
    BadValue("long list", b"[" + b"0," * 20_000 + b"0]", "array"),
    BadValue("empty object", b"{}", "object"),
    BadValue("empty key", b'{"":null}', "object"),
    BadValue("object", b'{"x":{"y":[1.5,"z"]}}', "object", canonical=False),
    BadValue("duplicate key", b'{"a":1,"a":2}', "invalid"),
    BadValue("duplicate key, escaped", b'{"a":1,"\\u0061":2}', "invalid"),
    BadValue("surrogate as key", b'{"\\ud800":1}', "invalid"),
    BadValue("NUL as key", b'{"\\u0000":1}', "object"),
    BadValue("keys of other normal forms", '{"é":1,"e\u0301":2}'.encode(), "object"),
    BadValue("deep list", b"[" * 10_000 + b"]" * 10_000, "invalid"),
    BadValue("deep object", b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "invalid"),
)

# In place of a whole body. None of them is an object.
NO_OBJECTS: Final = (
    b"null",
    b"[]",
    b'"x"',
    b"1",
    b"true",
    b"{",
    b"{}{}",
    b"{'a':1}",
    b'{"a":1,}',
    b'{"a":01}',
    b"not JSON",
    b"\x00",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b'{"\xed\xa0\x80":1}',
    b"<xml/>",
    b"a=1&b=2",
    b"[" * 30_000,
    b'{"a":[' + b"0," * 1_000_000 + b"0]}",
)

# Percent-encoded where an HTTP client could not send them otherwise.
PATH_PARTS: Final = (
    "%2F",
    "%2E%2E%2F%2E%2E%2Fetc%2Fpasswd",
    "..",
    ".",
    "%00",
    "a%00b",
    "%FF",
    "%C0%AF",
    "%ED%A0%80",
    "%",
    "%zz",
    "%25",
    "%0A%0D",
    "%20",
    "+",
    ";",
    "*",
    "@",
    "@:",
    "@x",
    "!",
    "!x:test",
    "#",
    "%23:test",
    "%23x:",
    "$",
    "$x",
    "-1",
    "null",
    "%7B%7D",
    "m.room.member",
    "%F0%9F%92%A9",
    "%F0%9F%92%A9" * 64,
    "x" * 255,
    "x" * 256,
    _LONG[:5_000],
    "@" + "x" * 300 + ":test",
    "!" + "x" * 300 + ":test",
    "%23" + "x" * 300 + ":test",
)

QUERY_VALUES: Final = (
    "",
    "x",
    "0",
    "-1",
    "1.5",
    "1e9",
    "9" * 30,
    "9" * 5_000,
    "٣",
    "true",
    "TRUE",
    "null",
    "%00",
    "%FF",
    "%C0%AF",
    "%ED%A0%80",
    "%",
    "%zz",
    "+",
    "s1",
    "s-1",
    "s99999999999999999999",
    "s1~1.2",
    "s1~" + "1.2~" * 500,
    "t1",
    "t-99999999999999999999",
    "t",
    "b",
    "f",
    "@x:y",
    "%7B%7D",
    "%7B",
    "%5B%5D",
    '{"limit":1e400}',
    '{"limit":-1}',
    '{"limit":99999999999999999999}',
    '{"types":[1]}',
    '{"types":["' + "*" * 3_000 + '"]}',
    '{"room":{"timeline":{"limit":"x"}}}',
    '{"a":1,"a":2}',
    '{"a":"\\ud800"}',
    '{"a":"\\u0000"}',
    "[" * 10_000,
    '{"a":' * 5_000,
    _LONG[:20_000],
)
