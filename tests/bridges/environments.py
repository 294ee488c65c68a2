"""Where the programs are that `make test-bridges` installs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.bridges.program import Program

_ROOT: Final = Path(__file__).absolute().parents[2]
_ENVIRONMENTS: Final = _ROOT / ".bridges"

# Our bridge in Go; not there where Go isn't.
GROVE: Final = _ENVIRONMENTS / "grove" / "grove"


def public(program: str) -> Path:
    """A program of the environment with the bridges that others wrote."""
    return _ENVIRONMENTS / "public" / "bin" / program


def own_program(name: str, *arguments: str, log: Path) -> Program:
    """One of programs/, in its environment."""
    python = _ENVIRONMENTS / "own" / "bin" / "python"
    module = f"tests.bridges.programs.{name}"
    settings: Mapping[str, str] = {"PYTHONPATH": str(_ROOT)}
    return Program((python, "-m", module, *arguments), log, settings)
