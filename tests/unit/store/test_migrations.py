"""Migrations are numbered, and each says which earlier versions of Millrace can work with what it leaves."""

from common.store.migrate import load_migrations

LAST_WITHOUT = 11  # those up to here are of a version that refused whatever was newer


def test_migrations_are_numbered_from_1_without_a_gap_or_a_double() -> None:
    found = load_migrations()
    assert [one.version for one in found] == list(range(1, len(found) + 1))


def test_each_migration_says_since_which_one_it_is_compatible() -> None:
    for migration in load_migrations()[LAST_WITHOUT:]:
        assert migration.sql.startswith("-- compatible since: "), (
            f"the first line of {migration.version:04}_{migration.name}.sql must be `-- compatible since: NNNN`, the"
            " newest migration that a process must know at least to do its work after this one: the one before, if"
            " earlier code goes on to read and write rows that are right; its own number, if not"
        )
        assert LAST_WITHOUT <= migration.compatible_since <= migration.version
