"""The reader that judges our headers is strict itself: examples and counter-examples of RFC 9651."""

import pytest

from tests.protected.structured import Item, parse_list


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("", []),
        ('"caller";q=100;w=60', [Item("caller", {"q": 100, "w": 60})]),
        ('"a";r=1 ,\t"b"; r=2;x', [Item("a", {"r": 1}), Item("b", {"r": 2, "x": True})]),
        ("sugar, tea;q=0.5", [Item("sugar", {}, True), Item("tea", {"q": 0.5}, True)]),
        (r'"a\"b\\c"', [Item('a"b\\c', {})]),
        ("-42, ?1, :aGk=:", [Item(-42, {}), Item(True, {}), Item(b"aGk=", {})]),
    ],
)
def test_lists_are_read(text: str, items: list[Item]) -> None:
    assert parse_list(text) == items


@pytest.mark.parametrize(
    "text",
    [
        '"a",', ',"a"', '"a" "b"', '"a";', '"a";Q=1', '"a";q=', "(a b)", '"a', "1.", "1.2345", "1234567890123456",
        '"\u00e9"', "'a'", '"a";q==1', '"a"q=1', "?2", '"a";r=1;;t=2', "1.2.3", r'"\x"',
    ],
)  # fmt: skip
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text itself, whatever is wrong with it
        parse_list(text)
