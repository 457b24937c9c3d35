from common.store.text import searchable, storable, storable_headers


def test_what_postgres_takes_stays_as_it_is() -> None:
    text = "plain \t é 漢 \U0001f600 \x01 \ufffd"
    assert storable(text) == searchable(text) == text


def test_what_it_does_not_take_is_replaced() -> None:
    assert storable("a\0b\ud800c\udfff") == "a\ufffdb\ufffdc\ufffd"
    assert storable_headers({"\0": ["\udce9", "x"], "Empty": []}) == {"\ufffd": ["\ufffd", "x"], "Empty": []}


def test_a_search_for_it_is_for_something_that_is_never_stored() -> None:
    assert searchable("/\0\udc00") == "/\x1a\x1a"
