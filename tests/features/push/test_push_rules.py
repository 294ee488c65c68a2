"""Reading push rules, over HTTP."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.server import Server

ALICE = "@alice:test"
MESSAGE_RULE = {
    "rule_id": ".m.rule.message",
    "default": True,
    "enabled": True,
    "conditions": [{"kind": "event_match", "key": "type", "pattern": "m.room.message"}],
    "actions": ["notify"],
}


def rules_of_the_specification(kind: str) -> list[dict[str, Any]]:
    """The definitions below the heading "Default … Rules", with Alice as the user."""
    folder = Path(os.environ["MATRIX_SPEC"]) / "text/client-server-api/modules"
    text = (folder / "push.md").read_text(encoding="utf-8")
    section = text.partition(f"##### Default {kind.title()} Rules\n")[2]
    section = re.split(r"^#{1,5} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```json\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [
        json.loads(block.replace("[the user's Matrix ID]", ALICE)) for block in blocks
    ]


@pytest.mark.skipif(
    "MATRIX_SPEC" not in os.environ, reason="MATRIX_SPEC is not set: no definitions"
)
@pytest.mark.parametrize(("kind", "count"), [("override", 10), ("underride", 5)])
async def test_everyone_starts_with_the_rules_of_the_specification(
    server: Server, kind: str, count: int
) -> None:
    expected = rules_of_the_specification(kind)
    assert len(expected) == count

    answer = await server.client(ALICE).get("/v3/pushrules/")

    shown = [
        rule
        for rule in answer.json["global"][kind]
        if not rule["rule_id"].startswith(".org.matrix.msc3930.")
    ]
    assert shown == expected


async def test_the_global_ruleset_is_the_only_one(server: Server) -> None:
    alice = server.client(ALICE)

    rulesets = (await alice.get("/v3/pushrules/")).json

    assert list(rulesets) == ["global"]
    assert rulesets["global"] == (await alice.get("/v3/pushrules/global/")).json
    assert MESSAGE_RULE in rulesets["global"]["underride"]


async def test_account_data_and_the_first_sync_have_the_same_rules(
    server: Server,
) -> None:
    """Clients read them in either place, instead of from `GET /pushrules/`."""
    alice = server.client(ALICE)
    rulesets = (await alice.get("/v3/pushrules/")).json

    read = await alice.get(f"/v3/user/{ALICE}/account_data/m.push_rules")
    synced = (await alice.get("/v3/sync")).json["account_data"]["events"]

    assert read.json == rulesets
    assert {"type": "m.push_rules", "content": rulesets} in synced


async def test_one_rule_is_read_whole_or_in_part(server: Server) -> None:
    alice = server.client(ALICE)
    path = "/v3/pushrules/global/underride/.m.rule.message"

    assert (await alice.get(path)).json == MESSAGE_RULE
    assert (await alice.get(f"{path}/actions")).json == {"actions": ["notify"]}
    assert (await alice.get(f"{path}/enabled")).json == {"enabled": True}
    master = await alice.get("/v3/pushrules/global/override/.m.rule.master/enabled")
    assert master.json == {"enabled": False}


@pytest.mark.parametrize(
    "name",
    [
        "override/.m.rule.message",
        "underride/message",
        "room/!room:test",
        "sideways/.m.rule.message",
    ],
)
@pytest.mark.parametrize("part", ["", "/actions", "/enabled"])
async def test_an_unknown_rule_is_not_found(
    server: Server, name: str, part: str
) -> None:
    answer = await server.client(ALICE).get(f"/v3/pushrules/global/{name}{part}")

    assert (answer.status, answer.json["errcode"]) == (404, "M_NOT_FOUND")


async def test_push_rules_need_a_token(server: Server) -> None:
    answer = await server.anonymous.get("/v3/pushrules/")

    assert (answer.status, answer.json["errcode"]) == (401, "M_MISSING_TOKEN")
