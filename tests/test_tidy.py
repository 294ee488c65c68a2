"""The sizes and names of the style, for every file of the project."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FILES = sorted(
    path
    for folder in ("src", "tests", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if "node_modules" not in path.parts
)
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
CLASS_LINES_MAX = 300
COLLABORATORS_MAX = 7

# Each with its reason; the list only shrinks.
EXCEPTIONS: dict[str, str] = {
    "src/tremula/infra/supervisor.py:create_task": "the supervisor itself",
    "src/tremula/infra/db/postgres_writer.py:create_task": (
        "held by the writer, awaited by close(); its failures go to those who wait"
    ),
    "src/tremula/infra/http/connections.py:create_task": (
        "held until it ends, awaited by HttpServer.stop(); its failures are answered"
    ),
    "src/tremula/rooms/registry.py:ensure_future": (
        "one load for all who wait for a room; they await it, none may cancel it"
    ),
    "src/tremula/infra/positions.py:SQL": "the journal's own counter",
}

BANNED_MODULES = {
    *("common", "handler", "handlers", "helper", "helpers"),
    *("manager", "managers", "misc", "util", "utils"),
}
SQL = re.compile(
    r"\s*(SELECT\s.*\bFROM\b|SELECT\s+[\w:(]|INSERT\s+INTO\b|UPDATE\s+\w+\s+SET\b"
    r"|DELETE\s+FROM\b|WITH\s+\w+.*\bAS\s*\(|PRAGMA\b|(CREATE|ALTER|DROP)\s+"
    r"(TABLE|INDEX|SCHEMA|DATABASE)\b)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Breach:
    """A rule that is broken at a place, named as `EXCEPTIONS` would name it."""

    place: str
    rule: str


def name_of(path: Path) -> str:
    """The path below the project's root."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def tree_of(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def sizes(path: Path) -> Iterator[Breach]:
    """What of a file is too long."""
    name = name_of(path)
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > FILE_LINES_MAX:
        yield Breach(name, f"{lines} lines, at most {FILE_LINES_MAX}")
    for node in ast.walk(tree_of(path)):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                most = FUNCTION_LINES_MAX
            case ast.ClassDef():
                most = CLASS_LINES_MAX
            case _:
                continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > most:
            yield Breach(f"{name}:{node.name}", f"{length} lines, at most {most}")


def bare_tasks(path: Path) -> Iterator[Breach]:
    """Tasks that nobody waits for or watches."""
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(value=ast.Name(id=owner), attr=called):
                pass
            case ast.Attribute(attr=called):
                owner = ""
            case ast.Name(id=called):
                owner = "asyncio"
            case _:
                continue
        is_bare = called == "ensure_future" or (
            called == "create_task" and owner in {"asyncio", "loop", ""}
        )
        if is_bare:
            yield Breach(f"{name_of(path)}:{called}", f"line {node.lineno}")


def may_hold_sql(path: Path) -> bool:
    """Storage modules (``storage.py``, or ``…_storage.py``) and the database."""
    return (
        path.stem == "storage"
        or path.stem.endswith("_storage")
        or (ROOT / "src/tremula/infra/db") in path.parents
    )


def sql(path: Path) -> Iterator[Breach]:
    """Statements outside of the modules that may hold them."""
    if may_hold_sql(path):
        return
    for node in ast.walk(tree_of(path)):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and SQL.match(node.value)
        ):
            yield Breach(f"{name_of(path)}:SQL", f"line {node.lineno}")


def foreign_features(path: Path) -> Iterator[Breach]:
    """Imports of another feature that bypass its service."""
    parts = path.relative_to(ROOT / "src/tremula").parts
    if parts[0] != "features" or len(parts) < 3:
        return
    own = parts[1]
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        match node.module.split("."):
            case ["tremula", "features", other, module] if (
                other != own and f"{other}.{module}" not in FEATURE_DOORS
            ):
                if module != "service":
                    yield Breach(name_of(path), f"imports {node.module}")
            case _:
                continue


# What a feature may import of another beside its ``service``: the protocol that the
# parts of a /sync answer implement, and what sliding sync has in common with /sync.
FEATURE_DOORS = {
    "sync.invited_rooms",
    "sync.lazy_members",
    "sync.parts",
    "sync.summary",
    "sync.timeline",
}


def unexcused(breaches: Iterator[Breach]) -> list[str]:
    """The breaches that `EXCEPTIONS` does not list."""
    return [
        f"{each.place}: {each.rule}"
        for each in breaches
        if each.place not in EXCEPTIONS
    ]


def test_no_file_function_or_class_is_too_long() -> None:
    assert not unexcused(each for path in FILES for each in sizes(path))


def test_modules_are_named_for_what_they_hold() -> None:
    assert not [name_of(path) for path in FILES if path.stem in BANNED_MODULES]


def test_every_task_has_an_owner() -> None:
    assert not unexcused(each for path in SOURCES for each in bare_tasks(path))


def test_sql_is_in_storage_modules_only() -> None:
    assert not unexcused(each for path in SOURCES for each in sql(path))


def test_features_meet_at_their_services() -> None:
    assert not unexcused(each for path in SOURCES for each in foreign_features(path))


def test_services_have_few_collaborators() -> None:
    """A service lists them as its fields; a value has no method that waits."""
    breaches = [
        f"{name_of(path)}:{node.name}"
        for path in SOURCES
        if path.stem == "service"
        for node in tree_of(path).body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(each, ast.AsyncFunctionDef) for each in node.body)
        and sum(isinstance(each, ast.AnnAssign) for each in node.body)
        > COLLABORATORS_MAX
    ]
    assert not [each for each in breaches if each not in EXCEPTIONS]


def test_every_table_starts_with_its_owners_name() -> None:
    """A table leads to the one folder whose storage reads and writes it."""
    owners = {
        path.name
        for folder in ("features", "infra")
        for path in (ROOT / "src/tremula" / folder).iterdir()
    }
    owners = {owner.removesuffix(".py") for owner in owners} | {"infra", "rooms"}
    created = re.compile(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)")
    tables = [
        table
        for path in (ROOT / "src/tremula/migrations").glob("*.sql")
        for table in created.findall(path.read_text(encoding="utf-8"))
    ]
    assert tables
    assert not [
        table
        for table in tables
        if not any(table == owner or table.startswith(f"{owner}_") for owner in owners)
        and table not in EXCEPTIONS
    ]


def test_migrations_are_numbered_without_gaps() -> None:
    names = sorted(
        path.name for path in (ROOT / "src/tremula/migrations").glob("*.sql")
    )

    assert [name[:4] for name in names] == [
        f"{number:04}" for number in range(1, len(names) + 1)
    ]
    assert all(re.fullmatch(r"[0-9]{4}_[a-z0-9_]+\.sql", name) for name in names)


def test_every_exception_is_still_needed() -> None:
    """The list only shrinks."""
    breaches = {
        each.place
        for path in FILES
        for rule in (sizes, bare_tasks, sql, foreign_features)
        if path in SOURCES or rule is sizes
        for each in rule(path)
    }
    assert EXCEPTIONS.keys() <= breaches


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("\n  SELECT user_id FROM users", True),
        ("INSERT INTO users (a) VALUES (:a)", True),
        ("UPDATE users SET a = 1", True),
        ("Select a room from the list.", False),
        ("Update users set aside", False),
    ],
)
def test_sql_is_recognised(statement: str, *, expected: bool) -> None:
    assert bool(SQL.match(statement)) is expected
