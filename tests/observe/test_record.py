"""What the log says of a request."""

from portside.observe.record import ERROR_LIMIT, LOG_FIELDS, NAME_LIMIT, Record, as_fields


def test_every_field_of_a_request_is_named_by_its_owner() -> None:
    full = Record(era="modern", revision="r", rpc_method="tools/call", name="n", error_code=1, error="e", session="s")
    full.stream = True
    assert set(as_fields(full, {})) <= set(LOG_FIELDS)


def test_what_does_not_apply_is_left_out() -> None:
    fields = as_fields(Record(), {})
    assert {"era", "name", "error", "session", "stream"}.isdisjoint(fields)
    assert fields["outcome"] == "ok"


def test_the_words_of_a_client_are_cut() -> None:
    fields = as_fields(Record(name="n" * 10_000, error="e" * 10_000), {})
    assert (fields["name"], fields["error"]) == ("n" * NAME_LIMIT, "e" * ERROR_LIMIT)


def test_a_record_starts_its_clock_when_it_is_made() -> None:
    assert Record("id", "GET", "203.0.113.9").started > 0
    assert Record(started=5.0).started == 5.0


def test_the_route_is_other_until_somebody_knows_better() -> None:
    record = Record("id", "GET", "203.0.113.9")
    assert (record.client, record.route) == ("203.0.113.9", "other")
