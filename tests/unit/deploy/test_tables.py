import pytest

from deploy.cli.tables import clipped, lay_out, wrapped

COLUMNS = ("call", "path", "status", "ran")
ROW = ("c" * 36, "/upper", "error (timeout)", "1.50 s")


def lines(available: int) -> list[str]:
    return list(lay_out(COLUMNS, [ROW], (), available).lines(ROW))


def test_columns_that_do_not_fit_go_on_in_a_line_below() -> None:
    assert lines(0) == lines(200) == [f"  {'  '.join(ROW)}"]
    assert lines(60) == [f"  {ROW[0]}  {ROW[1]}", f"      {ROW[2]}  {ROW[3]}"]
    assert len(lines(30)) == 3  # a cell is never broken


def test_a_list_goes_on_as_wide_as_it_began() -> None:
    wide = lay_out(COLUMNS, [("c" * 36, "/upper", "error", "-")], (), 0)
    (line,) = lay_out(COLUMNS, [("c", "/", "e", "-")], wide.widths, 0).lines(("c", "/", "e", "-"))
    assert line.index("/") == 2 + 36 + 2


@pytest.mark.parametrize(
    ("text", "available", "shown"),
    [
        ("abc", 4, "abc"),
        ("abcd", 4, "ab…"),
        ("你好吗", 5, "你…"),
        ("abc", 1, ""),
        ("", 0, ""),
        ("abc", -3, ""),
    ],
)
def test_a_line_that_is_drawn_anew_is_narrower_than_the_terminal(
    text: str, available: int, shown: str
) -> None:
    assert clipped(text, available) == shown


def test_long_values_are_wrapped_beside_their_names() -> None:
    assert wrapped("one two three", 4, 0) == ["one two three"]
    assert wrapped("a story " * 5, 10, 40) == ["a story a story a story a", "story a story"]
    assert wrapped("x" * 50, 10, 40) == ["x" * 30, "x" * 20]
    assert wrapped("", 10, 40) == [""]
