"""`tremula user` and `tremula token` on the database of a stopped server."""

from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path

import pytest

from tremula.cli.commands import run
from tremula.cli.failures import ExitCode

Tremula = Callable[..., tuple[ExitCode, str, str]]


@pytest.fixture
def tremula(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Tremula:
    """Run a command in an empty directory; answers its code, output and errors."""
    monkeypatch.chdir(tmp_path)
    # Not what is tested, and slow on purpose.
    monkeypatch.setenv("TREMULA_PASSWORD_HASHING__MEMORY_KIB", "8")
    monkeypatch.setenv("TREMULA_PASSWORD_HASHING__TIME_COST", "1")

    def command(
        *arguments: str, stdin: str = "", typed: Sequence[str] = ()
    ) -> tuple[ExitCode, str, str]:
        answers = list(typed)
        monkeypatch.setattr("sys.stdin", Terminal() if typed else StringIO(stdin))
        monkeypatch.setattr("tremula.cli.users.getpass", lambda _: answers.pop(0))
        code = run(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return command


class Terminal(StringIO):
    """Standard input that is no pipe."""

    def isatty(self) -> bool:
        """Someone sits there."""
        return True


def test_a_user_is_made_listed_promoted_and_deactivated(tremula: Tremula) -> None:
    made = tremula("user", "create", "alice", stdin="wonderland\n")
    assert made == (ExitCode.OK, "@alice:localhost can log in.\n", "")

    assert tremula("user", "make-admin", "@alice:localhost")[0] == ExitCode.OK
    assert tremula("user", "set-password", "alice", stdin="new")[0] == ExitCode.OK
    assert tremula("user", "list")[1].endswith("administrator\n")

    assert tremula("user", "deactivate", "alice", "--erase")[0] == ExitCode.OK
    assert "deactivated" in tremula("user", "list")[1]


def test_a_user_is_locked_and_suspended_and_neither_any_more(tremula: Tremula) -> None:
    tremula("user", "create", "alice", stdin="wonderland\n")

    locked = tremula("user", "lock", "alice")
    assert locked == (ExitCode.OK, "@alice:localhost is locked.\n", "")
    assert tremula("user", "suspend", "alice")[0] == ExitCode.OK
    assert tremula("user", "list")[1].endswith("locked, suspended\n")

    assert tremula("user", "unlock", "alice")[0] == ExitCode.OK
    assert tremula("user", "unsuspend", "alice")[0] == ExitCode.OK
    assert "locked" not in tremula("user", "list")[1]


def test_a_user_is_told_something(tremula: Tremula) -> None:
    tremula("user", "create", "alice", stdin="wonderland\n")

    told = tremula("notice", "send", "alice", "Backups run at noon.")

    assert told == (ExitCode.OK, "@alice:localhost is told.\n", "")
    assert "@server-notices:localhost" in tremula("user", "list")[1]


def test_an_administrator_is_made_at_once(tremula: Tremula) -> None:
    tremula("user", "create", "root", "--admin", stdin="secret\n")

    assert "administrator" in tremula("user", "list")[1]


REFUSED = [
    (("notice", "send", "nobody", "x"), "there is no user nobody"),
    (("user", "create", "alice"), "this username is taken"),
    (("user", "create", "no way"), "a username is made of"),
    (("user", "deactivate", "nobody"), "there is no user nobody"),
    (("user", "make-admin", "nobody"), "there is no user nobody"),
    (("user", "set-password", "nobody"), "there is no user nobody"),
    (("user", "lock", "nobody"), "there is no user nobody"),
    (("report", "show", "7"), "there is no report 7"),
    (("report", "resolve", "7"), "there is no open report 7"),
    (("token", "create", "taken"), "this token exists"),
    (("token", "create", "a b"), "a token has 1 to 64 characters"),
]


@pytest.mark.parametrize(("arguments", "expected"), REFUSED)
def test_a_refusal_is_one_line_and_its_own_code(
    arguments: tuple[str, ...], expected: str, tremula: Tremula
) -> None:
    tremula("user", "create", "alice", stdin="wonderland\n")
    tremula("token", "create", "taken")

    code, out, err = tremula(*arguments, stdin="secret\n")

    assert (code, out) == (ExitCode.REFUSED, "")
    assert err.startswith(f"tremula: {expected}")
    assert err.count("\n") == 1


def test_an_empty_password_is_refused(tremula: Tremula) -> None:
    code, _, err = tremula("user", "create", "alice", stdin="\n")

    assert (code, err) == (ExitCode.REFUSED, "tremula: no password was given\n")


def test_a_password_is_typed_twice_at_a_terminal(tremula: Tremula) -> None:
    code, _, err = tremula("user", "create", "alice", typed=["secret", "secert"])
    assert (code, err) == (ExitCode.REFUSED, "tremula: the passwords differ\n")

    assert tremula("user", "create", "alice", typed=["same", "same"])[0] == ExitCode.OK


def test_a_token_is_made_listed_and_revoked(tremula: Tremula) -> None:
    assert tremula("token", "create", "welcome", "--uses", "3")[1] == "welcome\n"
    random = tremula("token", "create", "--days", "2")[1].strip()

    header, *rows = tremula("token", "list")[1].splitlines()
    assert header.split() == ["token", "used", "of", "until", "notes"]
    assert {row.split()[0] for row in rows} == {"welcome", random}
    assert ["welcome", "0", "3"] in [row.split()[:3] for row in rows]

    assert tremula("token", "revoke", "welcome")[0] == ExitCode.OK
    assert "welcome" not in tremula("token", "list")[1]


@pytest.mark.parametrize("option", ["--uses", "--days"])
def test_a_token_without_any_use_is_refused(option: str, tremula: Tremula) -> None:
    assert tremula("token", "create", option, "0")[0] == ExitCode.CONFIG


def test_the_database_keeps_its_server_name(tremula: Tremula) -> None:
    tremula("user", "list")

    code, _, err = tremula("user", "list", "--server-name", "other.org")

    assert code == ExitCode.SERVER_NAME_CHANGED
    assert "localhost" in err
    assert err.count("\n") == 1
