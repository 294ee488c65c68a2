"""How many changes are kept for whoever is not reached."""

from tremula.features.appservice_encryption.changes import CHANGES_MAX, Untold
from tremula.protocol.identifiers import UserId

ALICE, BOB = UserId("@alice:test"), UserId("@bob:test")


def test_all_is_told_up_to_where_it_is_known() -> None:
    untold = Untold()
    untold.put(ALICE, 5)

    assert untold.told_pos(9) == 9


def test_what_has_changed_again_is_told_again() -> None:
    untold = Untold()
    untold.put(ALICE, 5)
    untold.put(BOB, 6)
    told = dict(untold.positions)
    untold.put(ALICE, 7)
    untold.drop(told)

    assert untold.positions == {ALICE: 7}


def test_what_is_too_much_is_left_to_the_database() -> None:
    untold = Untold()
    for pos in range(1, CHANGES_MAX + 3):
        untold.put(UserId(f"@{pos}:test"), pos)

    assert len(untold.positions) == CHANGES_MAX
    assert untold.told_pos(5_000) == CHANGES_MAX
