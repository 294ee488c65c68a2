"""What application services tell of other networks (AS "Third-party networks")."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

ENTRIES_MAX: Final = 500
_FIELDS_MAX: Final = 100


def instance_id(appservice_id: str, network_id: str) -> str:
    """What a network is called on this server, where several application services may
    have networks of one ID.
    """
    return f"{appservice_id}|{network_id}"


def parse_protocol(raw: object, appservice_id: str) -> dict[str, Any] | None:
    """CS ``Protocol`` of one application service's answer, its instances with their
    IDs; None if it is malformed.
    """
    if not isinstance(raw, Mapping):
        return None
    user_fields, location_fields = raw.get("user_fields"), raw.get("location_fields")
    icon, types = raw.get("icon"), raw.get("field_types")
    if not (
        _is_names(user_fields)
        and _is_names(location_fields)
        and isinstance(icon, str)
        and isinstance(types, Mapping)
        and len(types) <= _FIELDS_MAX
        and all(_is_field_type(each) for each in types.values())
    ):
        return None
    return {
        "user_fields": user_fields,
        "location_fields": location_fields,
        "icon": icon,
        "field_types": types,
        "instances": list(_instances(raw.get("instances"), appservice_id)),
    }


def merged(protocols: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What several application services tell of one protocol: the instances of all."""
    instances = [each for protocol in protocols for each in protocol["instances"]]
    return {**protocols[0], "instances": instances}


def parse_locations(raw: object) -> list[dict[str, Any]]:
    """The AS ``Location`` objects of an answer; what is malformed is left out."""
    return list(_entries(raw, "alias"))


def parse_users(raw: object) -> list[dict[str, Any]]:
    """The AS ``User`` objects of an answer; what is malformed is left out."""
    return list(_entries(raw, "userid"))


def _entries(raw: object, key: str) -> Iterator[dict[str, Any]]:
    for each in raw[:ENTRIES_MAX] if isinstance(raw, list) else ():
        if (
            isinstance(each, dict)
            and isinstance(each.get(key), str)
            and isinstance(each.get("protocol"), str)
            and isinstance(each.get("fields"), dict)
        ):
            yield {name: each[name] for name in (key, "protocol", "fields")}


def _instances(raw: object, appservice_id: str) -> Iterator[dict[str, Any]]:
    for each in raw[:ENTRIES_MAX] if isinstance(raw, list) else ():
        if not isinstance(each, dict):
            continue
        desc, network_id = each.get("desc"), each.get("network_id")
        fields, icon = each.get("fields"), each.get("icon")
        if not (
            isinstance(desc, str)
            and isinstance(network_id, str)
            and isinstance(fields, dict)
        ):
            continue
        instance: dict[str, Any] = {
            "desc": desc,
            "network_id": network_id,
            "fields": fields,
            "instance_id": instance_id(appservice_id, network_id),
        }
        if isinstance(icon, str):
            instance["icon"] = icon
        yield instance


def _is_names(raw: object) -> bool:
    return (
        isinstance(raw, list)
        and len(raw) <= _FIELDS_MAX
        and all(isinstance(each, str) for each in raw)
    )


def _is_field_type(raw: object) -> bool:
    return (
        isinstance(raw, Mapping)
        and isinstance(raw.get("regexp"), str)
        and isinstance(raw.get("placeholder"), str)
    )
