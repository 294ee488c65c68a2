"""Application services as the server starts: those of files, and those of before."""

from collections.abc import Sequence

from tremula.features.appservices import storage
from tremula.features.appservices.service import Appservices, StoredRegistration
from tremula.infra.db import Conflict, Database, DatabaseRefused, Statements
from tremula.infra.journal import Journal
from tremula.protocol.appservices import Registration
from tremula.protocol.identifiers import ServerName


async def open_appservices(
    database: Database,
    journal: Journal,
    server_name: ServerName,
    files: Sequence[Registration],
) -> tuple[Appservices, Sequence[str]]:
    """Store what the files say, and load all there are. Of the second, the IDs of those
    that the files have changed, other processes have yet to be told.

    Raises:
        DatabaseRefused: a file has the token of one that was added.
    """
    stored = await storage.all_registrations(database)
    changed = _changed(stored, files)
    if changed:
        await _store(database, changed, files)
        stored = await storage.all_registrations(database)
    return Appservices(database, journal, server_name, stored), changed


def _changed(
    stored: Sequence[StoredRegistration], files: Sequence[Registration]
) -> list[str]:
    """The IDs of those whose files are new, changed or gone."""
    before = {each.registration.id: each for each in stored if each.from_file}
    after = {each.id: StoredRegistration(each, from_file=True) for each in files}
    return [
        appservice_id
        for appservice_id in {**before, **after}
        if before.get(appservice_id) != after.get(appservice_id)
    ]


async def _store(
    database: Database, changed: Sequence[str], files: Sequence[Registration]
) -> None:
    unit = Statements()
    for appservice_id in changed:
        # A file takes the place of what was added while the server ran.
        storage.delete_registration(unit, appservice_id)
    for registration in files:
        if registration.id in changed:
            stored = StoredRegistration(registration, from_file=True)
            storage.insert_registration(unit, stored)
    try:
        await database.commit(unit)
    except Conflict:
        raise DatabaseRefused(
            "a file of appservices.files has the as_token of an application service"
            " that was added while the server ran: remove that one first"
        ) from None
