"""Registrations of application services for tests."""

from typing import Any

from tremula.protocol.appservices import Registration, parse_registration


def registration(
    appservice_id: str = "irc",
    /,
    **changes: Any,  # noqa: ANN401 - any key
) -> Registration:
    """An application service of users `@_{id}_…`; *changes* replace keys."""
    return parse_registration(registration_object(appservice_id, **changes))


def registration_object(
    appservice_id: str = "irc",
    /,
    **changes: Any,  # noqa: ANN401 - any key
) -> dict[str, Any]:
    """The same, as a file holds it."""
    return {
        "id": appservice_id,
        "url": None,
        "as_token": f"as-token-of-{appservice_id}",
        "hs_token": f"hs-token-of-{appservice_id}",
        "sender_localpart": f"_{appservice_id}_bot",
        "namespaces": namespaces(users=f"@_{appservice_id}_.*"),
        **changes,
    }


def namespaces(
    *, exclusive: bool = True, **regexes: str
) -> dict[str, list[dict[str, Any]]]:
    """One namespace of each kind in *regexes*."""
    return {
        kind: [{"regex": regex, "exclusive": exclusive}]
        for kind, regex in regexes.items()
    }
