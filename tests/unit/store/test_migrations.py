from common.store.migrate import load_migrations


def test_migrations_are_numbered_from_1_without_a_gap_or_a_double() -> None:
    found = load_migrations()
    assert [one.version for one in found] == list(range(1, len(found) + 1))
