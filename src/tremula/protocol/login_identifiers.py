"""Whom a client means on login (CS "Identifier types")."""

from collections.abc import Mapping
from typing import Any

from tremula.protocol.email_addresses import EmailAddress, parse_email_address
from tremula.protocol.errors import BadJson, Forbidden, InvalidParam, MissingParam


def parse_user_name(fields: Mapping[str, Any]) -> str:
    """The user ID or localpart in ``identifier``, or in the deprecated ``user``.

    Raises:
        Forbidden: a third-party identifier; no account here has one.
        InvalidParam: an unknown type of identifier.
        MissingParam: no identifier.
        BadJson: a value has the wrong type.
    """
    identifier = fields.get("identifier")
    if identifier is None:
        if fields.get("medium") is not None or fields.get("address") is not None:
            raise _third_party_refused()
        return _string(fields, "user", missing="identifier")
    if not isinstance(identifier, dict):
        raise BadJson("identifier must be an object")
    match _string(identifier, "type"):
        case "m.id.user":
            return _string(identifier, "user")
        case "m.id.thirdparty" | "m.id.phone":
            raise _third_party_refused()
        case _:
            raise InvalidParam("unknown type of identifier")


def find_email_address(fields: Mapping[str, Any]) -> EmailAddress | None:
    """The e-mail address in ``identifier``, or in the deprecated ``address``, if it is
    one that is meant.

    Raises:
        Forbidden: an address that nobody can have.
    """
    identifier = fields.get("identifier", fields)
    if not isinstance(identifier, dict):
        return None
    kind = identifier.get("type") if "identifier" in fields else "m.id.thirdparty"
    if kind != "m.id.thirdparty" or identifier.get("medium") != "email":
        return None
    try:
        return parse_email_address(identifier.get("address"))
    except InvalidParam:
        raise Forbidden("invalid username or password") from None


def _string(fields: Mapping[str, Any], key: str, *, missing: str | None = None) -> str:
    value = fields.get(key)
    if value is None:
        raise MissingParam(f"missing key {missing or key!r}")
    if not isinstance(value, str):
        raise BadJson(f"{key} must be a string")
    return value


def _third_party_refused() -> Forbidden:
    return Forbidden(
        "log in with your user ID or e-mail address: phone numbers do not work here"
    )
