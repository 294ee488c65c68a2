"""What each user wants to be notified of."""

from typing import Any

from tremula.protocol.errors import NotFound
from tremula.protocol.identifiers import UserId
from tremula.protocol.push_rules import PushRule, Ruleset, predefined_rules


class PushRules:
    """The rules of our users: the predefined ones, as nobody can change any yet."""

    def content(self, user_id: UserId) -> dict[str, Any]:
        """The content of the user's ``m.push_rules``: all rulesets by name."""
        return {"global": self.global_rules(user_id)}

    def global_rules(self, user_id: UserId) -> Ruleset:
        """The only ruleset there is."""
        return predefined_rules(user_id)

    def get_rule(self, user_id: UserId, *, kind: str, rule_id: str) -> PushRule:
        """One rule of the user.

        Raises:
            NotFound: there is no such rule, or no such kind.
        """
        for rule in self.global_rules(user_id).get(kind, ()):
            if rule["rule_id"] == rule_id:
                return rule
        raise NotFound(f"there is no push rule {rule_id!r} of this kind")
