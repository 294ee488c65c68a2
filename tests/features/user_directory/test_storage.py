"""What storing the words of users takes."""

from tremula.features.user_directory import storage
from tremula.infra.db import Database, Statements
from tremula.protocol.identifiers import UserId

ALICE, BOB = UserId("@alice:test"), UserId("@bøb\u2028\"':test")


async def test_the_words_of_many_users_take_one_statement(database: Database) -> None:
    words = [("alice", ALICE), ("al\u00ef", ALICE), ("test", ALICE), ("test", BOB)]
    for terms in (words[:2], words):
        unit = Statements()
        storage.insert_terms(unit, database.engine, terms)
        assert [len(each.rows) for each in unit.statements] == [1]
        await database.commit(unit)

    found = await storage.terms_beginning(database, "al", after=None, limit=9)
    assert sorted(each.term for each in found) == ["alice", "al\u00ef"]
    found = await storage.terms_beginning(database, "test", after=None, limit=9)
    assert {each.user_id for each in found} == {ALICE, BOB}
