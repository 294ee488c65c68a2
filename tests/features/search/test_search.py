"""CS search: what is found, in which order, and with what around it."""

import pytest

from tests.backends import table_of_refusals
from tests.fakes.clock import FakeClock
from tests.features.rooms import create_room, error_of, join, member, send, set_state
from tests.features.search.searching import (
    edit,
    event_ids,
    found,
    redact,
    results,
    search,
)
from tests.http_client import Client
from tests.server import Server
from tremula.features.search import storage
from tremula.protocol.search_query import IndexTerm

ALICE, BOB = "@alice:test", "@bob:test"


async def test_a_message_is_found_as_soon_as_it_is_sent(alice: Client) -> None:
    room_id = await create_room(alice)
    await send(alice, room_id, "nothing of interest")
    event_id = await send(alice, room_id, "The aspen trembles")

    answer = await results(alice, "ASPEN")

    assert event_ids(answer) == [event_id]
    assert answer["count"] == 1
    assert answer["highlights"] == ["aspen"]
    assert "next_batch" not in answer
    [shown] = answer["results"]
    assert shown["rank"] > 0
    assert shown["result"]["room_id"] == room_id
    assert shown["result"]["content"]["body"] == "The aspen trembles"
    assert "context" not in shown


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("Herr Müller wohnt in der Straße", "muller strasse"),
        ("MUELLER und Mu\u0308ller", "müller"),
        ("Le café est fermé", "CAFE"),
        ("你好世界 今天天气很好", "世界"),
        ("你好世界 今天天气很好", "天"),
        ("これはひらがなとカタカナです", "カタカナ"),
        ("半角ﾊﾝｶｸ", "ハンカク"),
        ("학교에서 공부합니다", "학교"),
        ("สวัสดีครับ", "สวัสดี"),
        ("मैं हिन्दी बोलता हूँ", "हिन्दी"),
        ("ёлка", "елка"),
        ("well done 👍🏽 indeed", "👍"),
        ("call get_user_by_id(x) there", "get_user"),
        ("many houses", "house"),
        ("don't panic", "don't"),
        ("see https://example.org/path?x=1", "example.org/path"),
    ],
)
async def test_texts_of_any_script_are_found(
    alice: Client, text: str, term: str
) -> None:
    room_id = await create_room(alice)
    event_id = await send(alice, room_id, text)
    await send(alice, room_id, "other words, 其他的字")

    assert await found(alice, term) == [event_id]


@pytest.mark.parametrize("term", ["", "   ", "!?", '"', "'", "* OR *", "a' & 'b", "\\"])
async def test_what_an_engine_could_take_for_syntax_is_text(
    alice: Client, term: str
) -> None:
    room_id = await create_room(alice)
    await send(alice, room_id, "hello world")

    assert await found(alice, term) == []


@pytest.mark.parametrize("term", ["cats NOT dogs", "cats OR dogs", "NEAR(cats)"])
async def test_operators_are_words(alice: Client, term: str) -> None:
    room_id = await create_room(alice)
    await send(alice, room_id, "cats")

    assert await found(alice, term) == []


async def test_names_and_topics_are_found_by_their_keys(alice: Client) -> None:
    room_id = await create_room(alice, name="Forest", topic="All about forest trees")
    message = await send(alice, room_id, "the forest")

    everywhere = await results(alice, "forest")
    names = await results(alice, "forest", keys=["content.name"])
    topics = await results(alice, "forest", keys=["content.topic"])
    bodies = await found(alice, "forest", keys=["content.body"])

    assert [each["result"]["type"] for each in names["results"]] == ["m.room.name"]
    assert [each["result"]["type"] for each in topics["results"]] == ["m.room.topic"]
    assert bodies == [message]
    assert set(event_ids(everywhere)) == {
        message,
        *event_ids(names),
        *event_ids(topics),
    }


async def test_the_rich_form_of_a_topic_is_found(alice: Client) -> None:
    room_id = await create_room(alice)
    topic = {"topic": "short", "m.topic": {"m.text": [{"body": "long and detailed"}]}}
    await set_state(alice, room_id, "m.room.topic", topic)

    assert len(await found(alice, "detailed")) == 1
    assert len(await found(alice, "short")) == 1


async def test_other_types_and_encrypted_events_are_not_found(alice: Client) -> None:
    room_id = await create_room(alice)
    await send(alice, room_id, "secret", event_type="m.room.encrypted")
    await send(alice, room_id, "secret", event_type="org.example.custom")
    await set_state(alice, room_id, "m.room.name", {"name": "secret"}, "not-the-name")

    assert await found(alice, "secret") == []


async def test_the_better_match_is_first_by_rank_the_newer_one_by_time(
    alice: Client,
) -> None:
    room_id = await create_room(alice)
    best = await send(alice, room_id, "quick fox, quick fox")
    good = await send(alice, room_id, "the quick brown fox")
    worst = await send(alice, room_id, "foxes are " + "not " * 100 + "quick")

    assert await found(alice, "quick fox") == [best, good]
    assert await found(alice, "quick") == [best, good, worst]
    assert await found(alice, "quick", order_by="recent") == [worst, good, best]


async def test_pages_hold_each_result_once(alice: Client) -> None:
    room_id = await create_room(alice)
    sent = [await send(alice, room_id, f"needle {'x ' * n}") for n in range(7)]

    for order_by in ("rank", "recent"):
        seen: list[str] = []
        token = None
        for expected in (3, 3, 1):
            answer = await results(
                alice,
                "needle",
                order_by=order_by,
                filter={"limit": 3},
                next_batch=token,
            )
            assert len(answer["results"]) == expected
            seen += event_ids(answer)
            token = answer.get("next_batch")
            # What comes meanwhile is on no later page.
            await send(alice, room_id, "unrelated")
        assert token is None
        assert sorted(seen) == sorted(sent)


async def test_groups_have_pages_of_their_own(alice: Client, bob: Client) -> None:
    first = await create_room(alice, preset="public_chat")
    second = await create_room(alice, preset="public_chat")
    await join(bob, first)
    by_bob = [await send(bob, first, f"needle {n}") for n in range(3)]
    by_alice = await send(alice, second, "needle")

    answer = await results(
        alice,
        "needle",
        order_by="recent",
        filter={"limit": 2},
        groupings={"group_by": [{"key": "room_id"}, {"key": "sender"}]},
    )

    rooms, senders = answer["groups"]["room_id"], answer["groups"]["sender"]
    assert rooms[second] == {"order": 0, "results": [by_alice]}
    assert senders[ALICE] == {"order": 0, "results": [by_alice]}
    assert rooms[first]["results"] == senders[BOB]["results"] == [by_bob[2]]
    for group in (rooms[first], senders[BOB]):
        more = await found(
            alice,
            "needle",
            order_by="recent",
            filter={"limit": 2},
            next_batch=group["next_batch"],
        )
        assert more == [by_bob[1], by_bob[0]]


async def test_filters_choose_rooms_senders_and_kinds(
    alice: Client, bob: Client
) -> None:
    first = await create_room(alice, preset="public_chat")
    second = await create_room(alice, preset="public_chat")
    await join(bob, first)
    in_first = await send(alice, first, "needle")
    by_bob = await send(bob, first, "needle")
    in_second = await send(alice, second, "needle")

    async def with_filter(**wanted: object) -> set[str]:
        return set(await found(alice, "needle", filter=wanted))

    assert await with_filter(rooms=[first]) == {in_first, by_bob}
    assert await with_filter(not_rooms=[first]) == {in_second}
    assert await with_filter(rooms=["!other:test"]) == set()
    assert await with_filter(senders=[BOB]) == {by_bob}
    assert await with_filter(not_senders=[BOB]) == {in_first, in_second}
    assert await with_filter(senders=[]) == set()
    assert await with_filter(types=["m.room.name"]) == set()
    assert await with_filter(contains_url=True) == set()


async def test_the_newest_text_is_found_at_the_message(
    timed_server: Server, clock: FakeClock
) -> None:
    alice = timed_server.client(ALICE)
    room_id = await create_room(alice)
    event_id = await send(alice, room_id, "the orginal typo")
    assert await found(alice, "orginal") == [event_id]

    await edit(alice, room_id, event_id, "the original text")
    # Of two edits in one millisecond, that with the greater ID would count.
    clock.advance_ms(1)
    last = await edit(alice, room_id, event_id, "the final text")

    assert await found(alice, "orginal") == []
    assert await found(alice, "original") == []
    assert await found(alice, "final text") == [event_id]
    await redact(alice, room_id, last)
    assert await found(alice, "final") == []
    assert await found(alice, "original") == [event_id]
    await redact(alice, room_id, event_id)
    assert await found(alice, "original") == []


async def test_nobody_replaces_what_others_said(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    event_id = await send(alice, room_id, "honest words")

    await edit(bob, room_id, event_id, "forged words")

    assert await found(alice, "honest") == [event_id]
    assert await found(alice, "forged") == []


async def test_redacted_messages_are_not_found_and_not_kept(
    alice: Client, server: Server
) -> None:
    room_id = await create_room(alice)
    event_id = await send(alice, room_id, "regrettable")
    assert await found(alice, "regrettable") == [event_id]
    wanted = storage.Wanted((IndexTerm("regrettable", is_prefix=False),))
    assert await storage.documents_before(server.db, 2**62, wanted, limit=10)

    await redact(alice, room_id, event_id)

    assert await found(alice, "regrettable") == []
    assert not await storage.documents_before(server.db, 2**62, wanted, limit=10)


async def test_context_shows_what_was_around(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    before = [await send(alice, room_id, f"before {n}") for n in range(3)]
    needle = await send(bob, room_id, "needle")
    after = [await send(alice, room_id, f"after {n}") for n in range(3)]
    wanted = {"before_limit": 2, "after_limit": 1, "include_profile": True}

    answer = await results(alice, "needle", event_context=wanted)

    [shown] = answer["results"]
    assert shown["result"]["event_id"] == needle
    context = shown["context"]
    assert [e["event_id"] for e in context["events_before"]] == [before[2], before[1]]
    assert [e["event_id"] for e in context["events_after"]] == [after[0]]
    assert context["profile_info"] == {
        ALICE: {"displayname": "alice"},
        BOB: {"displayname": "bob"},
    }
    path = f"/v3/rooms/{room_id}/messages"
    earlier = await alice.get(path, query={"dir": "b", "from": context["start"]})
    assert earlier.json["chunk"][0]["event_id"] == before[0]
    later = await alice.get(path, query={"dir": "f", "from": context["end"]})
    assert later.json["chunk"][0]["event_id"] == after[1]


async def test_the_state_of_each_room_is_shown(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice, preset="public_chat", name="Here")
    await join(bob, room_id)
    await create_room(alice, name="Elsewhere")
    await send(alice, room_id, "needle")

    whole = await results(alice, "needle", include_state=True)
    lazy = await results(
        alice, "needle", include_state=True, filter={"lazy_load_members": True}
    )

    def members(answer: dict[str, dict[str, list[dict[str, str]]]]) -> set[str]:
        state = answer["state"][room_id]
        return {e["state_key"] for e in state if e["type"] == "m.room.member"}

    assert set(whole["state"]) == {room_id}
    assert members(whole) == {ALICE, BOB}
    assert members(lazy) == {ALICE}


async def test_only_what_a_user_may_see_is_found(alice: Client, bob: Client) -> None:
    room_id = await create_room(alice, preset="public_chat")
    await set_state(
        alice, room_id, "m.room.history_visibility", {"history_visibility": "joined"}
    )
    await send(alice, room_id, "needle before")
    await join(bob, room_id)
    seen = await send(alice, room_id, "needle while")
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    await send(alice, room_id, "needle after")
    other = await create_room(alice)
    await send(alice, other, "needle elsewhere")

    answer = await results(bob, "needle", event_context={}, include_state=True)

    assert event_ids(answer) == [seen]
    assert answer["count"] == 1
    [shown] = answer["results"]
    bodies = {
        each["content"].get("body")
        for part in ("events_before", "events_after")
        for each in shown["context"][part]
    }
    assert not bodies & {"needle before", "needle after"}
    await bob.post(f"/v3/rooms/{room_id}/forget", {})
    assert await found(bob, "needle") == []


async def test_whoever_was_away_finds_the_text_that_they_saw(
    alice: Client, bob: Client
) -> None:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    event_id = await send(alice, room_id, "first version")
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    await edit(alice, room_id, event_id, "second version")

    assert await found(alice, "version") == [event_id]
    assert await found(bob, "second") == []
    assert await found(bob, "first") == [event_id]


async def test_invited_and_banned_users_find_what_they_may_see(
    alice: Client, bob: Client
) -> None:
    room_id = await create_room(alice, invite=[BOB])
    event_id = await send(alice, room_id, "needle")
    assert await found(bob, "needle") == []

    await join(bob, room_id)
    assert await found(bob, "needle") == [event_id]

    await member(alice, room_id, "ban", BOB)
    await send(alice, room_id, "another needle")
    assert await found(bob, "needle") == [event_id]


async def test_who_is_invited_again_finds_what_is_open_to_all(
    alice: Client, bob: Client
) -> None:
    room_id = await create_room(alice, preset="public_chat")
    visibility = {"history_visibility": "world_readable"}
    await set_state(alice, room_id, "m.room.history_visibility", visibility)
    await join(bob, room_id)
    await bob.post(f"/v3/rooms/{room_id}/leave", {})
    event_id = await send(alice, room_id, "needle")

    await member(alice, room_id, "invite", BOB)

    assert await found(bob, "needle") == [event_id]


async def test_messages_of_ignored_users_are_left_out(
    alice: Client, bob: Client
) -> None:
    room_id = await create_room(alice, preset="public_chat")
    await join(bob, room_id)
    await send(bob, room_id, "needle")
    mine = await send(alice, room_id, "needle of mine")
    await alice.put(
        f"/v3/user/{ALICE}/account_data/m.ignored_user_list",
        {"ignored_users": {BOB: {}}},
    )

    answer = await results(alice, "needle", event_context={})

    assert event_ids(answer) == [mine]
    assert answer["count"] == 1
    before = answer["results"][0]["context"]["events_before"]
    assert BOB not in {each["sender"] for each in before if "state_key" not in each}


@table_of_refusals
@pytest.mark.parametrize(
    ("criteria", "errcode"),
    [
        ({"search_term": "x" * 513}, "M_INVALID_PARAM"),
        ({"search_term": " ".join(map(str, range(40)))}, "M_INVALID_PARAM"),
        ({"search_term": 5}, "M_BAD_JSON"),
        ({}, "M_MISSING_PARAM"),
        ({"search_term": "x", "keys": ["content.url"]}, "M_BAD_JSON"),
        ({"search_term": "x", "order_by": "best"}, "M_BAD_JSON"),
        ({"search_term": "x", "filter": {"rooms": "!a:b"}}, "M_BAD_JSON"),
        ({"search_term": "x", "event_context": {"after_limit": -1}}, "M_INVALID_PARAM"),
        ({"search_term": "x", "groupings": {"group_by": [{"key": "x"}]}}, "M_BAD_JSON"),
    ],
)
async def test_what_is_no_search_is_refused(
    alice: Client, criteria: dict[str, object], errcode: str
) -> None:
    response = await alice.post(
        "/v3/search", {"search_categories": {"room_events": criteria}}
    )

    assert error_of(response) == (400, errcode)


@pytest.mark.parametrize("token", ["x", "e30", "bnVsbA==", "eyJiZWZvcmUiOiJ4In0="])
async def test_a_foreign_token_is_refused(alice: Client, token: str) -> None:
    await create_room(alice)
    response = await search(alice, "x", next_batch=token)

    assert error_of(response) == (400, "M_INVALID_PARAM")


async def test_nothing_is_searched_without_a_category(alice: Client) -> None:
    response = await alice.post("/v3/search", {"search_categories": {}})

    assert (response.status, response.json) == (200, {"search_categories": {}})
