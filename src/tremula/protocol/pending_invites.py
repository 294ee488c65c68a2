"""Pending third-party invitations (CS module "Third-party invites"). Pure."""

from collections.abc import Mapping
from typing import Any


def needs_key_check(content: Mapping[str, Any]) -> bool:
    """Whether only an identity server can say if the invitation's keys are valid."""
    keys = content.get("public_keys")
    entries = [content, *(keys if isinstance(keys, list) else [])]
    return any(isinstance(e, dict) and "key_validity_url" in e for e in entries)
