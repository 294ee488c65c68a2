"""What is found outlives a crash while it is being indexed."""

import asyncio
from typing import Any

from tests.crash.person import Person, http_session, register
from tests.homeserver import Homeserver

MESSAGES = 150
CRASHES = 3


async def test_after_a_crash_everything_is_found_once(homeserver: Homeserver) -> None:
    """SIGKILL among searches, each of which has indexed what was sent before it."""
    async with http_session() as session:
        alice = await register(session, homeserver.url, "alice")
        room_id = await alice.create_room()
        sent: list[str] = []
        for crash in range(CRASHES):
            sent += await asyncio.gather(
                *(
                    alice.send(room_id, f"{crash}-{number}", f"needle {number}")
                    for number in range(MESSAGES)
                )
            )
            searching = [asyncio.create_task(_search(alice, None)) for _ in range(3)]
            await asyncio.wait(searching, return_when=asyncio.FIRST_COMPLETED)
            more = asyncio.create_task(alice.send(room_id, f"last-{crash}", "needle"))
            await homeserver.kill()
            await asyncio.gather(*searching, return_exceptions=True)
            await asyncio.gather(more, return_exceptions=True)
            await homeserver.start()
            sent.append(await alice.send(room_id, f"last-{crash}", "needle"))

        assert sorted(await _found(alice)) == sorted(sent)
    await homeserver.stop()
    homeserver.assert_without_complaints()


async def _found(person: Person) -> list[str]:
    found: list[str] = []
    token: str | None = None
    while True:
        answer = await _search(person, token)
        found += [each["result"]["event_id"] for each in answer["results"]]
        token = answer.get("next_batch")
        if token is None:
            return found


async def _search(person: Person, token: str | None) -> dict[str, Any]:
    body = {"search_term": "needle", "filter": {"limit": 100}}
    answer = await person.call(
        "POST",
        "/search",
        {"search_categories": {"room_events": body}},
        {"next_batch": token} if token else None,
    )
    found: dict[str, Any] = answer["search_categories"]["room_events"]
    return found
