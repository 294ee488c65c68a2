"""Error classes: codes, statuses, bodies."""

import inspect

import pytest

from tremula.protocol import errors
from tremula.protocol.errors import (
    AuthRuleViolation,
    Forbidden,
    IncompatibleRoomVersion,
    LimitExceeded,
    MatrixError,
    ResourceLimitExceeded,
    UnknownToken,
    UserLimitExceeded,
    UserLocked,
    WrongRoomKeysVersion,
)

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value)
    and issubclass(value, MatrixError)
    and value is not MatrixError
]


@pytest.mark.parametrize("error_class", CLASSES)
def test_a_class_is_named_after_its_errcode(error_class: type[MatrixError]) -> None:
    words = error_class.errcode.removeprefix("M_").split("_")

    assert error_class.__name__ == "".join(word.capitalize() for word in words)


def test_no_errcode_has_two_classes() -> None:
    codes = [error_class.errcode for error_class in CLASSES]

    assert len(codes) == len(set(codes))


def test_further_keywords_go_into_the_body() -> None:
    error = Forbidden("no", reason="because")

    assert error.http_status == 403
    assert str(error) == error.message == "no"
    assert error.body() == {
        "errcode": "M_FORBIDDEN",
        "error": "no",
        "reason": "because",
    }


def test_the_status_can_be_overridden_for_one_instance() -> None:
    assert Forbidden("no", status=400).http_status == 400
    assert Forbidden("no").http_status == 403


@pytest.mark.parametrize(
    ("error", "extra"),
    [
        (LimitExceeded("slow"), {}),
        (LimitExceeded("slow", retry_after_ms=7), {"retry_after_ms": 7}),
        (UnknownToken("who"), {}),
        (UnknownToken("who", soft_logout=True), {"soft_logout": True}),
        (UserLocked("locked"), {"soft_logout": True}),
        (ResourceLimitExceeded("full", admin_contact="a@b"), {"admin_contact": "a@b"}),
        (
            UserLimitExceeded("much", info_uri="https://a"),
            {"info_uri": "https://a", "can_upgrade": False},
        ),
        (IncompatibleRoomVersion("old", room_version="12"), {"room_version": "12"}),
        (WrongRoomKeysVersion("old", current_version="3"), {"current_version": "3"}),
    ],
)
def test_the_keys_that_the_specification_adds(
    error: MatrixError, extra: dict[str, object]
) -> None:
    assert error.extra == extra


def test_an_auth_rule_violation_names_its_rule() -> None:
    violation = AuthRuleViolation("5.3.2", "sender is not state_key")

    assert violation.rule == "5.3.2"
    assert str(violation) == "5.3.2: sender is not state_key"
