"""Searching at the HTTP edge (CS module "Server Side Search")."""

from typing import Any

import orjson
from msgspec import Struct, UnsetType

from tremula.features.search.request import PageToken, SearchBody, SearchRequest
from tremula.features.search.service import Results, Search, group_of
from tremula.features.search.surroundings import Surroundings
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.opaque_tokens import format_token, parse_token


class SearchServices(Struct, frozen=True):
    """What finds, and what shows."""

    search: Search
    surroundings: Surroundings


@endpoint("POST", "/_matrix/client/v3/search", auth=Auth.USER, limit="directory")
async def search(req: UserRequest, services: SearchServices) -> Json:
    """CS search. Errors: M_INVALID_PARAM, M_BAD_JSON, M_MISSING_PARAM."""
    body = req.body(SearchBody).search_categories.room_events
    if isinstance(body, UnsetType):
        return {"search_categories": {}}
    request = SearchRequest.parse(body)
    raw = req.query.get("next_batch")
    page = parse_token(raw, PageToken) if raw else PageToken()
    results = await services.search.room_events(req.user_id, request, page)
    found = await _found(services.surroundings, results, request, req.device_id)
    return orjson.dumps({"search_categories": {"room_events": found}})


async def _found(
    surroundings: Surroundings,
    results: Results,
    request: SearchRequest,
    device_id: str | None,
) -> dict[str, Any]:
    shown: list[dict[str, Any]] = []
    for hit in results.hits:
        event = orjson.Fragment(await surroundings.event(hit, device_id))
        result: dict[str, Any] = {"rank": hit.rank, "result": event}
        if request.context is not None:
            result["context"] = await surroundings.context(
                hit, device_id, request.context, results.reader.ignored
            )
        shown.append(result)
    found: dict[str, Any] = {
        "count": results.count,
        "highlights": request.query.highlights(hit.text for hit in results.hits),
        "results": shown,
    }
    if request.include_state:
        found["state"] = await surroundings.states(
            results.hits, device_id, lazily=request.filter.lazy_load_members
        )
    if request.group_by:
        found["groups"] = _groups(results, request)
    if results.next_page is not None:
        found["next_batch"] = format_token(results.next_page)
    return found


def _groups(results: Results, request: SearchRequest) -> dict[str, Any]:
    grouped: dict[str, dict[str, Any]] = {}
    for key in request.group_by:
        groups: dict[str, Any] = {}
        for hit in results.hits:
            value = group_of(hit, key)
            if value not in groups:
                groups[value] = {"order": len(groups), "results": []}
                more = results.next_of_group(key, value)
                if more is not None:
                    groups[value]["next_batch"] = format_token(more)
            groups[value]["results"].append(hit.event.event_id)
        grouped[key.value] = groups
    return grouped
