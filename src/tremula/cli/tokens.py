"""``tremula token``: registration tokens, straight in the database."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from cyclopts.validators import Number

from tremula.cli.offline import run_offline
from tremula.cli.source import DEFAULT_SOURCE, Source
from tremula.cli.table import date, print_table

if TYPE_CHECKING:
    from tremula.app import Tremula

app = App("token")

_DAY_MS = 24 * 60 * 60 * 1000
_Count = Annotated[int | None, Parameter(validator=Number(gte=1, lte=10**6))]


@app.command
def create(
    token: str | None = None,
    /,
    *,
    uses: _Count = None,
    days: _Count = None,
    source: Source = DEFAULT_SOURCE,
) -> None:
    """Make a token, and print it.

    Args:
        token: What the token shall be; otherwise it is random.
        uses: How many accounts may be made with it; otherwise any number.
        days: For how long; otherwise for ever.
    """

    async def work(server: "Tremula") -> None:
        expires_ts_ms = None if days is None else _now_ms() + days * _DAY_MS
        created = await server.registration_tokens.create(
            token, uses_allowed=uses, expires_ts_ms=expires_ts_ms
        )
        sys.stdout.write(f"{created.token}\n")

    run_offline(source.load(), work)


@app.command(name="list")
def list_all(*, source: Source = DEFAULT_SOURCE) -> None:
    """List the newest 500 tokens."""

    async def work(server: "Tremula") -> None:
        print_table(
            ("token", "used", "of", "until", "notes"),
            [
                (
                    each.token,
                    str(each.uses),
                    "any" if each.uses_allowed is None else str(each.uses_allowed),
                    "" if each.expires_ts_ms is None else date(each.expires_ts_ms),
                    "" if each.is_valid(_now_ms()) else "not valid any more",
                )
                for each in await server.registration_tokens.all()
            ],
        )

    run_offline(source.load(), work)


@app.command
def revoke(token: str, /, *, source: Source = DEFAULT_SOURCE) -> None:
    """Remove a token; the accounts that were made with it stay."""

    async def work(server: "Tremula") -> None:
        await server.registration_tokens.delete(token)
        sys.stdout.write(f"No account can be made with {token}.\n")

    run_offline(source.load(), work)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
