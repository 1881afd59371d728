"""The canonical form of an entry: one text a value, the same every time it is read and written again."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.audit import event
from portside.audit.event import Arguments, Event, What, Who
from portside.observe.record import Record

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
DETAILS = st.dictionaries(TEXT, st.none() | st.booleans() | st.integers(-(2**62), 2**62) | TEXT, max_size=4)
OPTIONAL_TEXT = st.none() | TEXT
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.builds(
    Event,
    kind=TEXT,
    code=st.none() | st.integers(-32_800, 32_800),
    details=DETAILS,
    duration_us=st.none() | st.integers(0, 10**12),
    origin=OPTIONAL_TEXT,
    outcome=st.sampled_from([None, "started", "ok", "error", "tool_error", "refused", "cancelled", "timeout"]),
    what=st.none()
    | st.builds(What, method=TEXT, name=OPTIONAL_TEXT, era=st.sampled_from([None, "modern"]), request=OPTIONAL_TEXT),
    who=st.none() | st.builds(Who, id=TEXT, kind=TEXT),
    arguments=st.none()
    | st.builds(
        Arguments,
        policy=st.just("full"),
        size=st.integers(0, 9999),
        value=JSON.map(lambda value: msgspec.Raw(event.canonical(value))),
    ),
)


@given(EVENTS)
def test_an_event_read_and_written_again_is_the_same_text(given: Event) -> None:
    text = event.encode(given)
    assert event.encode(event.decode(text)) == text
    assert b"\n" not in text


@given(JSON)
def test_any_json_has_one_text_whatever_the_order_of_its_keys(value: object) -> None:
    text = event.canonical(value)
    assert event.canonical(msgspec.json.decode(text)) == text
    assert event.canonical(_reversed(value)) == text


def test_keys_are_sorted_and_times_are_whole_numbers() -> None:
    given = Event(kind="call", who=Who(id="a", kind="jwt"), outcome="ok", duration_us=7)
    assert event.encode(given) == b'{"duration_us":7,"kind":"call","outcome":"ok","who":{"id":"a","kind":"jwt"}}'


@given(st.text(max_size=20))
def test_a_lone_surrogate_does_not_keep_an_event_off_the_record(text: str) -> None:
    line = event.encode(Event(kind="call", what=What(method="tools/call", name=text), details={text: text}))
    json.loads(line.decode("utf-8"))
    assert event.encode(event.decode(line)) == line


def test_what_a_client_chooses_is_bounded() -> None:
    long = "x" * 100_000
    given = Event(
        kind="call", who=Who(id=long, kind="jwt"), origin=long, what=What(method=long, name=long, request=long)
    )
    assert len(event.encode(given)) < 6 * event.TEXT_LIMIT


def test_members_of_a_newer_version_are_passed_over() -> None:
    assert event.decode(b'{"kind":"call","newer":[1,{"a":2}],"outcome":"ok"}') == Event(kind="call", outcome="ok")


def test_a_requests_record_becomes_its_event() -> None:
    record = Record(request_id="r-1", client="203.0.113.7", rpc_method="tools/call", name="send_mail", era="modern")
    record.outcome, record.error_code, record.duration_s, record.session = "error", -32602, 0.0015, "5e55"
    record.principal, record.status = "jwt:0a1b", 200
    assert event.of_request(record) == Event(
        kind="call",
        who=Who(id="jwt:0a1b", kind="jwt"),
        origin="203.0.113.7",
        what=What(method="tools/call", name="send_mail", era="modern", request="r-1", session="5e55"),
        outcome="error",
        code=-32602,
        duration_us=1500,
        details={"status": 200},
    )


def test_a_call_about_to_be_made_says_who_asks_for_what() -> None:
    record = Record(request_id="r-1", principal="key:abcd", rpc_method="tools/call")
    found = event.of_start(record, method="tools/call", name="send_mail", arguments=None)
    assert found == Event(
        kind="call",
        outcome="started",
        who=Who(id="key:abcd", kind="key"),
        what=What(method="tools/call", name="send_mail", request="r-1"),
    )


def test_a_secret_in_the_place_of_a_name_is_not_put_on_record() -> None:
    """Also one that would be cut: the end of what is kept may not be the beginning of a secret."""
    uri = f"https://x.example/{'x' * (event.TEXT_LIMIT - 25)}?key=psk_{'a' * 60}"
    for made in (event.of_request(Record(name=uri)), event.of_start(Record(), method="m", name=uri, arguments=None)):
        assert b"psk_" not in event.encode(made)


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        event.decode(b'{"outcome":"ok"}')


def _reversed(value: object) -> object:
    if isinstance(value, dict):
        pairs: dict[str, object] = value  # pyright: ignore[reportUnknownVariableType]
        return {key: _reversed(pairs[key]) for key in reversed(list(pairs))}
    return value
