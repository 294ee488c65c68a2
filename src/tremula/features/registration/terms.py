"""The stage ``m.login.terms`` (CS "Terms of service at registration")."""

from collections.abc import Sequence
from typing import Any

from tremula.features.uia.service import Attempt
from tremula.infra.config import PolicyDocument
from tremula.protocol.identifiers import UserId


def terms_params(documents: Sequence[PolicyDocument]) -> dict[str, Any]:
    """What clients show of the documents: each in its languages."""
    policies: dict[str, dict[str, Any]] = {}
    for each in documents:
        policy = policies.setdefault(each.id, {"version": each.version})
        policy[each.language] = {"name": each.name, "url": each.url}
    return {"policies": policies}


async def check_terms(_user_id: UserId | None, _attempt: Attempt) -> None:
    """Implements ``StageCheck``: whoever completes it has accepted the documents."""
