"""Arguments, output and exit codes of the commands that start no server."""

from pathlib import Path

import pytest

from tremula.cli.commands import run
from tremula.cli.failures import CommandFailed, ExitCode, prepare_data_dir
from tremula.infra.config import load_config


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No tremula.toml is found by accident."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_passes_its_check(
    empty_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["config", "example"]) == ExitCode.OK
    example = empty_directory / "example.toml"
    example.write_text(capsys.readouterr().out, encoding="utf-8")

    assert run(["config", "check", "--config", str(example)]) == ExitCode.OK
    assert load_config(example, {}) == load_config(None, {})


def test_the_file_of_the_working_directory_is_found(
    empty_directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty_directory / "tremula.toml").write_text('server_name = "found.org"')

    assert run(["config", "check"]) == ExitCode.OK
    assert "found.org is fine (tremula.toml)" in capsys.readouterr().out


def test_the_environment_names_the_file(
    empty_directory: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (empty_directory / "other.toml").write_text('server_name = "other.org"')
    monkeypatch.setenv("TREMULA_CONFIG", "other.toml")

    assert run(["config", "check"]) == ExitCode.OK
    assert "other.org" in capsys.readouterr().out


def test_flags_win_over_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TREMULA_SERVER_NAME", "environment.org")

    assert run(["config", "check", "--server-name", "flag.org"]) == ExitCode.OK
    assert "flag.org" in capsys.readouterr().out


BAD_ARGUMENTS = [
    (["nonsense"], "nonsense"),
    (["config", "check", "--nonsense"], "--nonsense"),
    (["config", "check", "--server-name"], "--server-name"),
    (["config", "check", "--server-name", "a b"], "server_name (from --server-name)"),
    (["config", "check", "--listen", "8008"], "--listen: must be ADDRESS:PORT"),
    (["config", "check", "--database", "x"], "database (from --database)"),
    (["config", "check", "--config", "none.toml"], "none.toml: can't be read"),
    (["config", "check", "--listen", "0.0.0.0:80"], "server_name: must be set"),
]


@pytest.mark.parametrize(("arguments", "expected"), BAD_ARGUMENTS)
def test_bad_arguments_are_told_in_one_line(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == ExitCode.CONFIG
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tremula: ")
    assert err.count("\n") == 1
    assert expected in err


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["config"], ["user", "--help"], ["serve", "--help"]]
)
def test_help_is_always_there(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == ExitCode.OK
    assert "Usage: tremula" in capsys.readouterr().out


def test_the_data_directory_is_made_for_the_server_alone(
    empty_directory: Path,
) -> None:
    data_dir = empty_directory / "a" / "b"

    prepare_data_dir(data_dir)
    prepare_data_dir(data_dir)

    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert list(data_dir.iterdir()) == []


def test_a_data_directory_that_can_not_be_written_is_refused(
    empty_directory: Path,
) -> None:
    (empty_directory / "file").touch()

    with pytest.raises(CommandFailed, match="file/data can't be written") as caught:
        prepare_data_dir(empty_directory / "file" / "data")
    assert caught.value.exit_code == ExitCode.DATA_DIR
