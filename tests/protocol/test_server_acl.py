"""CS "Server Access Control Lists (ACLs) for rooms"."""

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.strategies import JSON_VALUES
from tremula.protocol.identifiers import ServerName
from tremula.protocol.server_acl import ServerAcl

GLOBS = st.text("ab.*?", max_size=8)
NAMES = st.text("ab.", max_size=8)


def allows(content: dict[str, Any], name: str) -> bool:
    return ServerAcl.of(content).allows(ServerName(name))


def is_denied_by(glob: str, name: str) -> bool:
    return not allows({"allow": ["*"], "deny": [glob]}, name)


@pytest.mark.parametrize(
    ("glob", "name", "expected"),
    [
        ("evil.com", "evil.com", True),
        ("evil.com", "xevil.com", False),
        ("evil.com", "evil.com.org", False),
        ("evil.com", "evilxcom", False),
        ("*.evil.com", "a.evil.com", True),
        ("*.evil.com", "a.b.evil.com", True),
        ("*.evil.com", ".evil.com", True),
        ("*.evil.com", "evil.com", False),
        ("*evil.com", "evil.com", True),
        ("evil.*", "evil.", True),
        ("evil.*", "evil.org", True),
        ("e?il.com", "evil.com", True),
        ("e?il.com", "eil.com", False),
        ("e?il.com", "evvil.com", False),
        ("*e*i*", "evil.com", True),
        ("*i*e*", "evil.com", False),
        ("**", "evil.com", True),
        ("?*?", "ab", True),
        ("?*?", "a", False),
        ("", "evil.com", False),
        ("[::1]", "[::1]", True),
        ("[*", "[::1]", True),
        ("*:1]", "[::1]", True),
        ("[a-z]*", "evil.com", False),
        ("evil.com\n", "evil.com", False),
        ("ёж.рф", "evil.com", False),
    ],
)
def test_globs(glob: str, name: str, expected: bool) -> None:
    assert is_denied_by(glob, name) is expected


@given(GLOBS, NAMES)
def test_globs_mean_what_the_specification_says(glob: str, name: str) -> None:
    """`*` is any run of characters, `?` exactly one."""
    pattern = re.escape(glob).replace(r"\*", ".*").replace(r"\?", ".")
    assert is_denied_by(glob, name) == bool(re.fullmatch(pattern, name))


@pytest.mark.parametrize("glob", ["evil.com", "EVIL.com", "Evil.*", "*.COM", "EVI?.c*"])
@pytest.mark.parametrize("name", ["evil.com", "eViL.CoM", "EVIL.COM:8448"])
def test_letter_case_does_not_matter(glob: str, name: str) -> None:
    assert is_denied_by(glob, name)
    assert allows({"allow": [glob]}, name)


@pytest.mark.parametrize("name", ["evil.com", "evil.com:8448", "evil.com:1234"])
def test_ports_do_not_matter(name: str) -> None:
    assert is_denied_by("evil.com", name)


@pytest.mark.parametrize(
    ("glob", "name"),
    [("1.2.3.4", "1.2.3.4:8448"), ("[2001:DB8::1]", "[2001:db8::1]:8448")],
)
def test_ports_of_addresses_do_not_matter(glob: str, name: str) -> None:
    assert is_denied_by(glob, name)
    assert is_denied_by(glob, name.rsplit(":", 1)[0])


def test_a_pattern_with_a_port_matches_nothing() -> None:
    assert not is_denied_by("evil.com:8448", "evil.com:8448")


def test_the_end_of_an_ipv6_address_is_no_port() -> None:
    assert is_denied_by("[::8448]", "[::8448]")
    assert not is_denied_by("[:", "[::8448]")


@pytest.mark.parametrize("name", ["1.2.3.4", "1.2.3.4:80", "[::1]", "[::1]:80"])
def test_ip_literals_can_be_denied(name: str) -> None:
    assert not allows({"allow": ["*"], "allow_ip_literals": False}, name)
    assert allows({"allow": ["*"], "allow_ip_literals": True}, name)
    assert allows({"allow": ["*"]}, name)


@pytest.mark.parametrize("name", ["a.org", "1.2.3.4.org", "1.2.3", "x1.2.3.4"])
def test_names_are_no_ip_literals(name: str) -> None:
    assert allows({"allow": ["*"], "allow_ip_literals": False}, name)


@pytest.mark.parametrize("odd", [None, 0, "false", [], {}, 1.5])
def test_an_odd_allow_ip_literals_means_true(odd: object) -> None:
    assert allows({"allow": ["*"], "allow_ip_literals": odd}, "1.2.3.4")


def test_deny_comes_before_allow() -> None:
    assert not allows({"allow": ["evil.com"], "deny": ["evil.com"]}, "evil.com")


@pytest.mark.parametrize("content", [{}, {"allow": []}, {"deny": ["x"]}])
def test_who_is_not_allowed_is_denied(content: dict[str, Any]) -> None:
    assert not allows(content, "good.com")


@pytest.mark.parametrize("odd", [None, "*", 1, {"*": "*"}, [["*"]], [None, 7, {}]])
def test_malformed_lists_match_nobody(odd: object) -> None:
    assert not allows({"allow": odd}, "good.com")
    assert allows({"allow": ["*"], "deny": odd}, "good.com")


def test_what_is_well_formed_in_a_malformed_list_counts() -> None:
    assert not allows({"allow": ["*"], "deny": [7, None, "evil.com"]}, "evil.com")


@given(st.dictionaries(st.sampled_from(["allow", "deny"]), JSON_VALUES), NAMES)
def test_no_content_breaks_it(content: dict[str, Any], name: str) -> None:
    assert allows(content, name) in {True, False}


@pytest.mark.parametrize(
    "glob",
    ["*a" * 30_000 + "b", "a*" * 30_000 + "b", "*" * 60_000, "?*" * 30_000, "*?a" * 90],
)
def test_cve_2023_45129_expensive_globs_take_linear_time(glob: str) -> None:
    started = time.process_time()
    is_denied_by(glob, "a" * 255)
    assert time.process_time() - started < 0.5


def test_an_event_full_of_globs_is_cheap() -> None:
    acl = ServerAcl.of({"deny": [f"*a?*{n}" for n in range(8_000)]})
    started = time.process_time()
    acl.allows(ServerName("a" * 255))
    assert time.process_time() - started < 0.5
