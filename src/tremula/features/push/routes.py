"""Push rules at the HTTP edge (CS "Push Rules: API"); clients don't start without."""

from tremula.features.push.service import PushRules
from tremula.infra.http import Auth, Json, UserRequest, endpoint
from tremula.protocol.push_rules import PushRule

_RULE_PATH = "/_matrix/client/v3/pushrules/global/{kind}/{rule_id}"


@endpoint("GET", "/_matrix/client/v3/pushrules/", auth=Auth.USER)
async def get_push_rules(req: UserRequest, push_rules: PushRules) -> Json:
    """CS getPushRules."""
    return push_rules.content(req.user_id)


@endpoint("GET", "/_matrix/client/v3/pushrules/global/", auth=Auth.USER)
async def get_push_rules_global(req: UserRequest, push_rules: PushRules) -> Json:
    """CS getPushRulesGlobal."""
    return push_rules.global_rules(req.user_id)


@endpoint("GET", _RULE_PATH, auth=Auth.USER)
async def get_push_rule(req: UserRequest, push_rules: PushRules) -> Json:
    """CS getPushRule. Errors: M_NOT_FOUND."""
    return _named_rule(req, push_rules)


@endpoint("GET", f"{_RULE_PATH}/actions", auth=Auth.USER)
async def get_push_rule_actions(req: UserRequest, push_rules: PushRules) -> Json:
    """CS getPushRuleActions. Errors: M_NOT_FOUND."""
    return {"actions": _named_rule(req, push_rules)["actions"]}


@endpoint("GET", f"{_RULE_PATH}/enabled", auth=Auth.USER)
async def is_push_rule_enabled(req: UserRequest, push_rules: PushRules) -> Json:
    """CS isPushRuleEnabled. Errors: M_NOT_FOUND."""
    return {"enabled": _named_rule(req, push_rules)["enabled"]}


def _named_rule(req: UserRequest, push_rules: PushRules) -> PushRule:
    return push_rules.get_rule(
        req.user_id, kind=req.path["kind"], rule_id=req.path["rule_id"]
    )
