"""Setting push rules, over HTTP (CS "Push Rules: API")."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.backends import table_of_refusals
from tests.features.rooms import error_of
from tests.features.sync.syncing import sync, token
from tests.http_client import Client
from tests.server import Server
from tremula.protocol.push_rule_parsing import ACTIONS_MAX, CONDITIONS_MAX

ALICE = "@alice:test"
RULES = "/v3/pushrules/global"
CAKE = {"pattern": "cake", "actions": ["notify"]}
MESSAGE = "underride/.m.rule.message"


async def own_rules(client: Client, kind: str = "content") -> list[dict[str, Any]]:
    """The user's own rules of a kind."""
    rules = (await client.get(f"{RULES}/")).json[kind]
    return [rule for rule in rules if not rule["default"]]


async def ids(client: Client, kind: str = "content") -> list[str]:
    return [rule["rule_id"] for rule in await own_rules(client, kind)]


async def put(client: Client, path: str, body: object = CAKE, **query: str) -> None:
    """Set something of a rule, which must succeed."""
    response = await client.put(f"{RULES}/{path}", body, query=query)
    assert (response.status, response.json) == (200, {}), response.body


async def pushed(client: Client, since: str) -> dict[str, Any]:
    """The push rules that `/sync` shows after *since*, all at once."""
    events = (await sync(client, since))["account_data"]["events"]
    [rules] = [event["content"] for event in events if event["type"] == "m.push_rules"]
    found: dict[str, Any] = rules
    return found


async def test_rules_of_all_kinds_are_kept_and_shown(server: Server) -> None:
    alice = server.client(ALICE)
    condition = {"kind": "event_match", "key": "content.body", "pattern": "beer"}
    await put(alice, "content/cake")
    await put(alice, "override/b", {"actions": [], "conditions": [condition]})
    await put(alice, "underride/u", {"actions": ["notify"]})
    room = quote("!room:test")
    await put(alice, f"room/{room}", {"actions": []})
    await put(alice, f"sender/{quote('@spambot:test')}", {"actions": []})

    [override] = await own_rules(alice, "override")
    assert override == {
        "rule_id": "b",
        "default": False,
        "enabled": True,
        "actions": [],
        "conditions": [condition],
    }
    assert await own_rules(alice) == [
        {"rule_id": "cake", "default": False, "enabled": True, **CAKE}
    ]
    assert await ids(alice, "underride") == ["u"]
    assert await ids(alice, "room") == ["!room:test"]
    assert await ids(alice, "sender") == ["@spambot:test"]
    assert (await alice.get(f"{RULES}/override/b")).json == override


async def test_rules_are_ordered_by_before_and_after(server: Server) -> None:
    alice = server.client(ALICE)
    for rule_id in ("c", "b", "a"):
        await put(alice, f"content/{rule_id}")
    assert await ids(alice) == ["a", "b", "c"]

    await put(alice, "content/x", before="b")
    await put(alice, "content/y", after="b")
    await put(alice, "content/a", after="c")

    assert await ids(alice) == ["x", "b", "y", "c", "a"]


@pytest.mark.parametrize("other", ["missing", ".m.rule.message", "cake"])
@pytest.mark.parametrize("side", ["before", "after"])
async def test_there_has_to_be_a_rule_before_or_after(
    server: Server, side: str, other: str
) -> None:
    """It was once a panic elsewhere; nothing is stored."""
    alice = server.client(ALICE)

    answer = await alice.put(f"{RULES}/content/cake", CAKE, query={side: other})

    assert error_of(answer) == (400, "M_INVALID_PARAM")
    assert await ids(alice) == []


async def test_rules_are_enabled_and_disabled_and_changed(server: Server) -> None:
    alice = server.client(ALICE)
    await put(alice, "content/cake")
    loud = ["notify", {"set_tweak": "sound", "value": "cakealarm.wav"}]

    for rule in ("content/cake", MESSAGE):
        await put(alice, f"{rule}/enabled", {"enabled": False})
        await put(alice, f"{rule}/actions", {"actions": loud})
        assert (await alice.get(f"{RULES}/{rule}/enabled")).json == {"enabled": False}
        assert (await alice.get(f"{RULES}/{rule}/actions")).json == {"actions": loud}


async def test_actions_of_the_past_are_stripped(server: Server) -> None:
    """ "a rule with ["dont_notify"] actions MUST be equivalent to a rule with an empty
    actions array"."""
    alice = server.client(ALICE)
    await put(alice, "content/cake", {**CAKE, "actions": ["dont_notify", "coalesce"]})

    assert (await own_rules(alice))[0]["actions"] == []


async def test_a_removed_rule_is_gone(server: Server) -> None:
    alice = server.client(ALICE)
    await put(alice, "content/cake")

    assert (await alice.delete(f"{RULES}/content/cake")).status == 200

    assert await ids(alice) == []
    again = await alice.delete(f"{RULES}/content/cake")
    assert error_of(again) == (404, "M_NOT_FOUND")
    predefined = await alice.delete(f"{RULES}/{MESSAGE}")
    assert error_of(predefined) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("part", "body"), [("enabled", {"enabled": True}), ("actions", {"actions": []})]
)
@pytest.mark.parametrize(
    "rule", ["content/none", "override/.m.rule.none", "sideways/cake"]
)
async def test_what_is_not_there_is_not_changed(
    server: Server, rule: str, part: str, body: dict[str, Any]
) -> None:
    answer = await server.client(ALICE).put(f"{RULES}/{rule}/{part}", body)

    assert error_of(answer) == (404, "M_NOT_FOUND")


async def test_a_change_is_in_the_next_sync_of_every_device(server: Server) -> None:
    alice = server.client(ALICE)
    since = await token(alice)

    await put(alice, "content/cake")

    assert await pushed(alice, since) == (await alice.get("/v3/pushrules/")).json
    assert "account_data" not in await sync(alice, await token(alice))


@pytest.mark.one_process(reason="it empties the memory of one process")
async def test_a_change_is_shown_to_a_client_that_was_away_for_long(
    server: Server,
) -> None:
    """Longer than memory reaches back."""
    alice = server.client(ALICE)
    since = await token(alice)
    await put(alice, "content/cake")
    server.app.journal.forget(server.app.journal.position)

    assert await pushed(alice, since) == (await alice.get("/v3/pushrules/")).json


async def test_nobody_else_sees_or_has_the_rules(server: Server) -> None:
    await put(server.client(ALICE), "content/cake")

    assert await ids(server.client("@bob:test")) == []


CONDITION = {"kind": "event_match", "key": "type", "pattern": "x"}


@table_of_refusals
@pytest.mark.parametrize(
    ("path", "body", "errcode"),
    [
        ("content/.mine", CAKE, "M_INVALID_PARAM"),
        ("content/a%2Fb", CAKE, "M_INVALID_PARAM"),
        ("content/a%5Cb", CAKE, "M_INVALID_PARAM"),
        (f"content/{'a' * 256}", CAKE, "M_INVALID_PARAM"),
        ("content/cake", {"pattern": "cake"}, "M_MISSING_PARAM"),
        ("content/cake", {"actions": []}, "M_MISSING_PARAM"),
        ("content/cake", {"actions": [], "pattern": 7}, "M_BAD_JSON"),
        ("content/cake", {"actions": [], "pattern": "a" * 600}, "M_INVALID_PARAM"),
        ("override/o", {"actions": ["explode"]}, "M_INVALID_PARAM"),
        ("override/o", {"actions": [7]}, "M_BAD_JSON"),
        ("override/o", {"actions": [{"sound": "x"}]}, "M_INVALID_PARAM"),
        ("override/o", {"actions": ["notify"] * (ACTIONS_MAX + 1)}, "M_INVALID_PARAM"),
        (
            "override/o",
            {"actions": [{"set_tweak": "x", "value": "x" * 2000}]},
            "M_INVALID_PARAM",
        ),
        ("override/o", {"actions": [], "conditions": [7]}, "M_BAD_JSON"),
        ("override/o", {"actions": [], "conditions": [{}]}, "M_BAD_JSON"),
        (
            "override/o",
            {"actions": [], "conditions": [CONDITION] * (CONDITIONS_MAX + 1)},
            "M_INVALID_PARAM",
        ),
        (
            "override/o",
            {"actions": [], "conditions": [{"kind": "x", "y": "z" * 9000}]},
            "M_INVALID_PARAM",
        ),
    ],
)
async def test_what_is_no_rule_or_too_large_is_refused(
    server: Server, path: str, body: dict[str, Any], errcode: str
) -> None:
    alice = server.client(ALICE)

    answer = await alice.put(f"{RULES}/{path}", body)

    assert error_of(answer) == (400, errcode)
    assert await own_rules(alice, path.partition("/")[0]) == []


@pytest.mark.parametrize(
    ("condition", "errcode"),
    [
        ({"kind": "event_match", "pattern": "x"}, "M_INVALID_PARAM"),
        ({"kind": "event_match", "key": "type"}, "M_MISSING_PARAM"),
        ({"kind": "event_property_is", "key": "type"}, "M_INVALID_PARAM"),
        (
            {"kind": "event_property_contains", "key": "k", "value": []},
            "M_INVALID_PARAM",
        ),
        ({"kind": "room_member_count", "is": "~3"}, "M_INVALID_PARAM"),
        ({"kind": "sender_notification_permission"}, "M_INVALID_PARAM"),
    ],
)
async def test_a_condition_has_what_its_kind_needs(
    server: Server, condition: dict[str, Any], errcode: str
) -> None:
    body = {"actions": [], "conditions": [condition]}

    answer = await server.client(ALICE).put(f"{RULES}/override/o", body)

    assert error_of(answer) == (400, errcode)


async def test_a_condition_of_an_unknown_kind_is_kept(server: Server) -> None:
    """It never matches, but a later server may know it."""
    alice = server.client(ALICE)
    condition = {"kind": "org.example.moon", "key": "full"}

    await put(alice, "override/o", {"actions": [], "conditions": [condition]})

    assert (await own_rules(alice, "override"))[0]["conditions"] == [condition]
