"""Which aliases of ``m.room.canonical_alias`` are checked (CS setRoomStateWithKey)."""

import pytest

from tremula.features.messages.canonical_alias import new_aliases
from tremula.protocol.errors import BadJson, InvalidParam


def test_only_aliases_that_are_new_are_checked() -> None:
    before = {"alias": "#old:test", "alt_aliases": ["#broken", "#alt:test"]}
    after = {"alias": "#new:test", "alt_aliases": ["#broken", "#alt:test", "#b:test"]}

    assert new_aliases(before, after) == ["#new:test", "#b:test"]


@pytest.mark.parametrize("alias", [None, ""])
def test_an_alias_is_removed_by_null_or_an_empty_text(alias: object) -> None:
    assert new_aliases({"alias": "#old:test"}, {"alias": alias}) == []


@pytest.mark.parametrize("alias", ["broken", "#no-server", 7, {"a": 1}])
def test_a_malformed_new_alias_is_refused(alias: object) -> None:
    with pytest.raises(InvalidParam):
        new_aliases({}, {"alias": alias})


def test_alternatives_that_are_no_list_are_refused() -> None:
    with pytest.raises(BadJson):
        new_aliases({}, {"alt_aliases": "#a:test"})
