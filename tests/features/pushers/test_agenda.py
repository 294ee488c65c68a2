"""Whose pushers are due when."""

from tremula.features.pushers.agenda import Agenda
from tremula.protocol.identifiers import UserId

ALICE = UserId("@alice:test")
BOB = UserId("@bob:test")


def test_users_are_due_in_the_order_of_their_times() -> None:
    agenda = Agenda()
    agenda.note(ALICE, 20)
    agenda.note(BOB, 10)

    assert agenda.next_ms == 10
    assert list(agenda.take_due(9)) == []
    assert list(agenda.take_due(20)) == [BOB, ALICE]
    assert agenda.next_ms is None


def test_of_several_times_the_first_one_counts() -> None:
    agenda = Agenda()
    agenda.note(ALICE, 20)
    agenda.note(ALICE, 30)
    agenda.note(ALICE, 10)

    assert list(agenda.take_due(10)) == [ALICE]
    assert list(agenda.take_due(30)) == []


def test_who_was_due_may_be_again() -> None:
    agenda = Agenda()
    agenda.note(ALICE, 10)
    assert list(agenda.take_due(10)) == [ALICE]

    agenda.note(ALICE, 5)

    assert list(agenda.take_due(10)) == [ALICE]
