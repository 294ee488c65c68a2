"""What a table holds, in a number and a checksum that both engines agree upon."""

import hashlib
from collections.abc import Callable

import msgspec
from msgspec import Struct

from tremula.infra.db.copying.store import Source
from tremula.infra.db.copying.table import PAGE_ROWS, Table
from tremula.infra.db.reader import Row


class Summary(Struct, frozen=True):
    """A table's rows, and the SHA-256 of their values in the order of the key."""

    table: str
    rows: int
    sha256: str


async def summarise(
    store: Source, table: Table, advanced: Callable[[int], None]
) -> Summary:
    """Read the whole *table* back.

    Each row is hashed as the MessagePack array of its values, which tells NULL from
    empty, text from bytes, and one row from the next.
    """
    encode = msgspec.msgpack.Encoder().encode
    digest = hashlib.sha256()
    rows = 0
    after: Row | None = None
    while page := await store.page(table, after):
        digest.update(b"".join(map(encode, page)))
        rows += len(page)
        advanced(len(page))
        if len(page) < PAGE_ROWS:
            break
        after = table.key_of(page[-1])
    return Summary(table.name, rows, digest.hexdigest())
