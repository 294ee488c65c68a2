"""Push rules at the HTTP edge (CS "Push Rules: API")."""

from typing import Any

import msgspec

from tremula.features.push.service import PushRules
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.push_rule_parsing import parse_actions, parse_kind, parse_rule
from tremula.protocol.push_rule_values import RuleKind

_RULE_PATH = "/_matrix/client/v3/pushrules/global/{kind}/{rule_id}"


class RuleBody(msgspec.Struct):
    """Body of CS ``setPushRule``."""

    actions: list[Any] | None = None
    conditions: list[Any] | None = None
    pattern: str | None = None


class EnabledBody(msgspec.Struct):
    """Body of CS ``setPushRuleEnabled``."""

    enabled: bool


class ActionsBody(msgspec.Struct):
    """Body of CS ``setPushRuleActions``."""

    actions: list[Any]


@endpoint("GET", "/_matrix/client/v3/pushrules/", auth=Auth.USER)
async def get_push_rules(req: UserRequest, push_rules: PushRules) -> Json:
    """CS getPushRules."""
    return await push_rules.content(req.user_id)


@endpoint("GET", "/_matrix/client/v3/pushrules/global/", auth=Auth.USER)
async def get_push_rules_global(req: UserRequest, push_rules: PushRules) -> Json:
    """CS getPushRulesGlobal."""
    content = await push_rules.content(req.user_id)
    rules: Json = content["global"]
    return rules


@endpoint("GET", _RULE_PATH, auth=Auth.USER)
async def get_push_rule(req: UserRequest, push_rules: PushRules) -> Json:
    """CS getPushRule. Errors: M_NOT_FOUND."""
    return await _named_rule(req, push_rules)


@endpoint("PUT", _RULE_PATH, auth=Auth.USER, limit="account")
async def set_push_rule(req: UserRequest, push_rules: PushRules) -> Json:
    """CS setPushRule. Errors: M_INVALID_PARAM, M_MISSING_PARAM, M_NOT_FOUND."""
    kind, rule_id = _name(req)
    body = req.body(RuleBody)
    rule = parse_rule(
        kind,
        rule_id,
        actions=body.actions,
        conditions=body.conditions,
        pattern=body.pattern,
    )
    before, after = req.query.get("before"), req.query.get("after")
    await push_rules.set_rule(req.user_id, kind, rule, before=before, after=after)
    return {}


@endpoint("DELETE", _RULE_PATH, auth=Auth.USER)
async def delete_push_rule(req: UserRequest, push_rules: PushRules) -> Json:
    """CS deletePushRule. Errors: M_NOT_FOUND."""
    await push_rules.delete_rule(req.user_id, *_name(req))
    return {}


@endpoint("GET", f"{_RULE_PATH}/actions", auth=Auth.USER)
async def get_push_rule_actions(req: UserRequest, push_rules: PushRules) -> Json:
    """CS getPushRuleActions. Errors: M_NOT_FOUND."""
    return {"actions": (await _named_rule(req, push_rules))["actions"]}


@endpoint("PUT", f"{_RULE_PATH}/actions", auth=Auth.USER)
async def set_push_rule_actions(req: UserRequest, push_rules: PushRules) -> Json:
    """CS setPushRuleActions. Errors: M_INVALID_PARAM, M_NOT_FOUND."""
    actions = parse_actions(req.body(ActionsBody).actions)
    await push_rules.set_actions(req.user_id, *_name(req), actions)
    return {}


@endpoint("GET", f"{_RULE_PATH}/enabled", auth=Auth.USER)
async def is_push_rule_enabled(req: UserRequest, push_rules: PushRules) -> Json:
    """CS isPushRuleEnabled. Errors: M_NOT_FOUND."""
    return {"enabled": (await _named_rule(req, push_rules))["enabled"]}


@endpoint("PUT", f"{_RULE_PATH}/enabled", auth=Auth.USER)
async def set_push_rule_enabled(req: UserRequest, push_rules: PushRules) -> Json:
    """CS setPushRuleEnabled. Errors: M_NOT_FOUND."""
    enabled = req.body(EnabledBody).enabled
    await push_rules.set_enabled(req.user_id, *_name(req), enabled=enabled)
    return {}


def _name(req: UserRequest) -> tuple[RuleKind, str]:
    return parse_kind(req.path["kind"]), req.path["rule_id"]


async def _named_rule(req: UserRequest, push_rules: PushRules) -> dict[str, Any]:
    return await push_rules.get_rule(req.user_id, *_name(req))
