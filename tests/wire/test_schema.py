"""Input schemas made ready to check arguments by, and what is said of arguments that do not fit (row B5)."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.wire import schema
from portside.wire.schema import NotCheckable


def problems(given: dict[str, Any], **properties: Any) -> list[str]:
    """Return what is wrong with arguments for a tool with these properties."""
    return schema.compile({"type": "object", "properties": properties}).problems(given)


INTEGERS: dict[str, Any] = {"type": "array", "items": {"type": "integer"}}


@pytest.mark.parametrize(
    ("wanted", "value", "said"),
    [
        ({"type": "integer"}, "x", '/v: expected integer, got "x"'),
        ({"type": ["integer", "null"]}, 1.5, "/v: expected integer or null, got 1.5"),
        ({"enum": ["a", "b", 3]}, "c", '/v: expected "a", "b" or 3, got "c"'),
        ({"const": True}, False, "/v: expected true, got false"),
        ({"minimum": 3}, 2, "/v: expected a number of at least 3, got 2"),
        ({"exclusiveMaximum": 3}, 3, "/v: expected a number below 3, got 3"),
        ({"multipleOf": 2}, 3, "/v: expected a multiple of 2, got 3"),
        ({"minLength": 2}, "a", '/v: expected text of at least 2 characters, got "a"'),
        ({"pattern": "^a+$"}, "b", '/v: expected text that matches "^a+$", got "b"'),
        ({"maxItems": 1}, [1, 2], "/v: expected at most 1 items, got an array of 2 items"),
        ({"uniqueItems": True}, [1, 1], "/v: expected items that all differ, got an array of 2 items"),
        ({"required": ["a"]}, {}, '/v: the required member "a" is missing'),
        ({"required": ["a", "b"]}, {}, '/v: the required members "a" and "b" are missing'),
        ({"additionalProperties": False}, {"a/b~": 1}, '/v: the member "a/b~" is not allowed'),
        ({"additionalProperties": {"type": "string"}}, {"a/b~": 1}, "/v/a~1b~0: expected string, got 1"),
        (INTEGERS, [1, "x"], '/v/1: expected integer, got "x"'),
        ({"prefixItems": [{"type": "integer"}], "items": False}, [1, 2], "/v/1: nothing is allowed here, got 2"),
        ({"anyOf": [INTEGERS, {"type": "null"}]}, [1, "x"], '/v/1: expected integer, got "x"'),
        ({"anyOf": [INTEGERS, {"type": "null"}]}, 5, "/v: expected one of 2 forms (array or null), got 5"),
        ({"oneOf": [{"minimum": 1}, {"minimum": 2}]}, 3, "/v: expected exactly one of 2 forms, but 2 fit 3"),
        (
            {"allOf": [{"type": "string"}, {"maxLength": 1}]},
            "ab",
            '/v: expected text of at most 1 characters, got "ab"',
        ),
        (
            {"if": {"type": "string"}, "then": {"minLength": 3}},
            "a",
            '/v: expected text of at least 3 characters, got "a"',
        ),
        ({"not": {"type": "string"}}, "a", '/v: "a" does not fit the schema'),
        ({"contains": {"type": "string"}}, [1], "/v: an array of 1 items does not fit the schema"),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, "/v: an object of 1 members does not fit the schema"),
    ],
)
def test_a_problem_says_where_it_is_and_what_was_expected(wanted: dict[str, Any], value: object, said: str) -> None:
    assert problems({"v": value}, v=wanted) == [said]


def test_a_reference_inside_the_schema_is_followed() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}, "size": {"type": "integer"}}}
    checker = schema.compile({"$defs": {"tree": tree}, "properties": {"root": {"$ref": "#/$defs/tree"}}})
    assert checker.problems({"root": {"next": {"next": {"size": "x"}}}}) == [
        '/root/next/next/size: expected integer, got "x"'
    ]


UNCHECKABLE: list[object] = [
    {"$ref": "https://example.com/schema"},
    {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
    {"properties": {"a": {"$ref": "other.json#/a"}}},
    {"properties": {"a": {"$dynamicRef": "http://127.0.0.1:1/a#b"}}},
    {"$ref": "#/$defs/missing"},
    {"$schema": "https://example.com/dialect", "type": "object"},
    {"$schema": 5},
    {"type": "objekt"},
    {"properties": {"a": {"not": {"pattern": "(?=a)"}}}},
    {"patternProperties": {"(?=a)": {}}},
    {"enum": ["x" * schema.MAX_SCHEMA_BYTES]},
    {"anyOf": [{}] * (schema.MAX_OBJECTS + 1)},
    True,
    None,
]


@pytest.mark.parametrize("written", UNCHECKABLE)
def test_what_cannot_be_checked_within_bounds_is_refused_with_the_reason(written: object) -> None:
    with pytest.raises(NotCheckable) as caught:
        schema.compile(written)
    assert 5 < len(caught.value.message) < 400


def test_a_schema_nested_too_deep_is_refused() -> None:
    written: dict[str, Any] = {}
    for _ in range(100):
        written = {"not": written}
    with pytest.raises(NotCheckable, match="nests deeper"):
        schema.compile(written)


@pytest.mark.parametrize("dialect", sorted(schema.DIALECTS))
def test_every_dialect_is_checked_by_its_own_rules(dialect: str) -> None:
    checker = schema.compile({"$schema": f"{dialect}#", "properties": {"v": {"type": "integer", "minimum": 3}}})
    assert checker.is_valid({"v": 3})
    assert checker.problems({"v": 2}) == ["/v: expected a number of at least 3, got 2"]


def test_draft_4_has_an_exclusive_minimum_beside_the_minimum() -> None:
    dialect = "http://json-schema.org/draft-04/schema#"
    written = {"$schema": dialect, "properties": {"v": {"minimum": 3, "exclusiveMinimum": True}}}
    assert len(schema.compile(written).problems({"v": 3})) >= 1


def test_a_pattern_that_looks_around_is_left_out_and_the_rest_is_checked() -> None:
    checker = schema.compile({"properties": {"v": {"type": "string", "pattern": "^(?!x).*$", "maxLength": 3}}})
    assert checker.is_valid({"v": "x"})
    assert not checker.is_valid({"v": "xxxx"})


def test_formats_are_annotations() -> None:
    assert problems({"v": "no date"}, v={"type": "string", "format": "date"}) == []


@pytest.mark.parametrize("name", ["password", "api_key", "accessToken", "clientSecret", "Authorization"])
def test_what_sounds_secret_is_never_shown(name: str) -> None:
    said = problems({name: "hunter2"}, **{name: {"type": "integer"}})
    assert said == [f"/{name}: expected integer, got text"]
    assert "hunter2" not in "".join(
        problems({name: {"v": "hunter2"}}, **{name: {"properties": {"v": {"type": "null"}}}})
    )


def test_a_long_value_a_long_name_and_a_long_path_are_cut() -> None:
    name = "n" * 500
    said = problems({name: "x" * 500}, **{name: {"type": "integer"}})
    assert len(said) == 1
    assert "x" * 61 not in said[0]
    assert "n" * 61 not in said[0]


def test_control_characters_do_not_come_back() -> None:
    (said,) = problems({"a\nb\x1b[31m": "c\x7f\u202e"}, **{"a\nb\x1b[31m": {"type": "integer"}})
    assert said.isprintable()


WRONG: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"v": ["x"] * 1_000_000}, {"v": INTEGERS}),
    ({"v": ["x"] * 1_000_000}, {"v": {"anyOf": [INTEGERS, {"type": "null"}]}}),
    ({"v": ["x"] * 1_000_000}, {"v": {"oneOf": [INTEGERS, {"type": "array", "items": {"type": "null"}}]}}),
    ({"v": {f"k{index}": "x" for index in range(200_000)}}, {"v": {"additionalProperties": {"type": "integer"}}}),
    ({"v": {f"k{index}": "x" for index in range(200_000)}}, {"v": {"additionalProperties": False}}),
    ({"v": [{"\U0001f600" * 100: "\U0001f600" * 100}] * 100}, {"v": {"items": {"additionalProperties": False}}}),
    ({"v": "x" * 4_000_000}, {"v": {"type": "integer"}}),
]


@pytest.mark.parametrize(("given", "properties"), WRONG)
def test_at_most_ten_problems_are_told_in_4000_bytes(given: dict[str, Any], properties: dict[str, Any]) -> None:
    said = problems(given, **properties)
    assert 1 <= len(said) <= 10
    assert sum(len(one.encode()) for one in said) <= 4000


@pytest.mark.parametrize("depth", [10, 30, 62])
def test_forms_that_contain_each_other_take_no_exponential_time(depth: int) -> None:
    """Tried one by one, the two forms would be 2**62 ways; the test's own time-out tells the difference."""
    both = [{"type": "object", "required": [key], "properties": {"f": {"$ref": "#/$defs/f"}}} for key in ("a", "b")]
    checker = schema.compile({"$defs": {"f": {"anyOf": [*both, {"type": "integer"}]}}, "$ref": "#/$defs/f"})
    value: Any = "wrong"
    for _ in range(depth):
        value = {"f": value, "a": 1, "b": 1}
    assert not checker.is_valid(value)
    assert 1 <= len(checker.problems(value)) <= 10


@pytest.mark.parametrize("written", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"anyOf": [{"$ref": "#"}, False]}])
def test_a_schema_that_refers_to_itself_ends(written: dict[str, Any]) -> None:
    assert isinstance(schema.compile(written).problems({"a": 1}), list)


def test_a_problem_is_told_once() -> None:
    checker = schema.compile({"allOf": [{"$ref": "#"}], "required": ["a"]})
    assert checker.problems({}) == ['arguments: the required member "a" is missing']


def test_a_pattern_takes_linear_time() -> None:
    assert len(problems({"v": "a" * 100_000 + "b"}, v={"pattern": "^(a+)+$"})) == 1


LEAVES: list[Any] = [
    {"type": "integer"},
    {"type": "string", "maxLength": 1},
    {"type": ["null", "boolean"]},
    {"enum": [1, "a", None]},
    {"minimum": 2},
    {"required": ["a"]},
    True,
    False,
]


def combined(kind: str, one: Any, two: Any) -> dict[str, Any]:
    """Return a schema of two others."""
    forms: dict[str, dict[str, Any]] = {
        "items": {"items": one},
        "prefix": {"prefixItems": [one], "items": two},
        "not": {"not": one},
        "members": {"properties": {"a": one}, "additionalProperties": two},
        "any": {"anyOf": [one, two]},
        "one": {"oneOf": [one, two]},
        "all": {"allOf": [one, two]},
        "if": {"if": one, "then": two, "else": one},
        "contains": {"contains": one, "propertyNames": {"maxLength": 1}},
    }
    return forms[kind]


KINDS = ("items", "prefix", "not", "members", "any", "one", "all", "if", "contains")
SCHEMAS = st.recursive(
    st.sampled_from(LEAVES), lambda inner: st.builds(combined, st.sampled_from(KINDS), inner, inner), max_leaves=6
)
VALUES = st.recursive(
    st.sampled_from([None, True, 0, 3, 1.5, "", "a", "abc"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "cc"]), inner),
    max_leaves=8,
)


@given(part=SCHEMAS, value=VALUES)
def test_there_are_problems_exactly_where_arguments_do_not_fit(part: Any, value: Any) -> None:
    checker = schema.compile({"properties": {"v": part}})
    said = checker.problems({"v": value})
    assert bool(said) != checker.is_valid({"v": value})
    assert len(said) <= 10
    assert all(one.startswith("/v") for one in said)


def test_the_longest_integer_is_read() -> None:
    assert problems({"v": 2**64 - 1}, v={"type": "integer"}) == []
    assert problems({"v": sys.maxsize}, v={"maximum": 5}) != []
