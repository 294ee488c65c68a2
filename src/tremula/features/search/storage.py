"""The index: ``search_documents_derived`` (migrations/0032_search.sql).

SQLite: FTS5 without texts and places; a message of a dozen words takes 50 bytes and
5 µs, and 16 µs in the thread that commits. PostgreSQL: a ``tsvector`` and its GIN
index. Neither knows any language: they are given terms, and find those terms.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tremula.infra.db import Engine, Reader, Unit
from tremula.protocol.search_query import IndexTerm


class Wanted(Struct, frozen=True):
    """Documents that have all of the terms, and one of each of the groups."""

    terms: tuple[IndexTerm, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()


def upsert_documents(
    unit: Unit, engine: Engine, documents: Iterable[tuple[int, Iterable[str]]]
) -> None:
    """Add documents: ``(doc_id, terms)``."""
    rows = [{"doc_id": doc_id, "terms": " ".join(terms)} for doc_id, terms in documents]
    if engine is Engine.SQLITE:
        unit.run_many(
            """
            INSERT OR REPLACE INTO search_documents_derived (rowid, terms)
            VALUES (:doc_id, :terms)
            """,
            rows,
        )
        return
    unit.run_many(
        """
        INSERT INTO search_documents_derived (doc_id, terms)
        VALUES (:doc_id, array_to_tsvector(string_to_array(:terms, ' ')))
        ON CONFLICT (doc_id) DO UPDATE SET terms = excluded.terms
        """,
        rows,
    )


def delete_documents(unit: Unit, engine: Engine, doc_ids: Iterable[int]) -> None:
    """Remove documents, as far as they are there."""
    rows = [{"doc_id": doc_id} for doc_id in doc_ids]
    if engine is Engine.SQLITE:
        unit.run_many(
            "DELETE FROM search_documents_derived WHERE rowid = :doc_id", rows
        )
        return
    unit.run_many("DELETE FROM search_documents_derived WHERE doc_id = :doc_id", rows)


def delete_all_documents(unit: Unit, engine: Engine) -> None:
    """Empty the index."""
    if engine is Engine.SQLITE:
        unit.run(
            """
            INSERT INTO search_documents_derived (search_documents_derived)
            VALUES ('delete-all')
            """
        )
        return
    unit.run("TRUNCATE search_documents_derived")


async def documents_before(
    db: Reader, doc_id: int, wanted: Wanted, *, limit: int
) -> list[int]:
    """The newest documents before *doc_id* that have what is wanted, newest first."""
    if db.engine is Engine.SQLITE:
        rows = await db.scan(
            """
            SELECT rowid FROM search_documents_derived
            WHERE search_documents_derived MATCH :wanted AND rowid < :doc_id
            ORDER BY rowid DESC LIMIT :limit
            """,
            wanted=_fts5(wanted),
            doc_id=doc_id,
            limit=limit,
        )
    else:
        # The sum keeps the planner from walking all documents in their order.
        rows = await db.scan(
            """
            SELECT doc_id FROM search_documents_derived
            WHERE terms @@ CAST(:wanted AS tsquery) AND doc_id < :doc_id
            ORDER BY doc_id + 0 DESC LIMIT :limit
            """,
            wanted=_tsquery(wanted),
            doc_id=doc_id,
            limit=limit,
        )
    return [each for (each,) in rows]


def _fts5(wanted: Wanted) -> str:
    terms = [
        _fts5_quoted(term.text) + (" *" if term.is_prefix else "")
        for term in wanted.terms
    ]
    groups = [" OR ".join(map(_fts5_quoted, group)) for group in wanted.one_of]
    return " AND ".join((*terms, *_in_brackets(groups)))


def _tsquery(wanted: Wanted) -> str:
    terms = [
        _tsquery_quoted(term.text) + (":*" if term.is_prefix else "")
        for term in wanted.terms
    ]
    groups = [" | ".join(map(_tsquery_quoted, group)) for group in wanted.one_of]
    return " & ".join((*terms, *_in_brackets(groups)))


def _in_brackets(groups: Sequence[str]) -> Iterable[str]:
    return (f"({group})" for group in groups)


def _fts5_quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


def _tsquery_quoted(term: str) -> str:
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"
