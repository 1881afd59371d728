"""Every line of the process has one shape, and no line can stop a request."""

import errno
import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from portside.errors import StartFailed
from portside.observe import log, log_file
from portside.observe.record import LOG_FIELDS, Record


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Capture = pytest.CaptureFixture[str]


@pytest.fixture
def stderr(capsys: Capture) -> Iterator[Capture]:
    """What is written to stderr, and logging as it was afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield capsys
    log._close()  # pyright: ignore[reportPrivateUsage]
    root.handlers, root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stderr: Capture) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stderr.readouterr().err.splitlines()]


def test_our_own_and_foreign_logs_have_one_shape(stderr: Capture) -> None:
    # given
    log.configure("info", "json", "portside", "server-1")
    # when
    structlog.get_logger("portside.x").info("opened", size=3)
    logging.getLogger("some.library").warning("hello %s", "you", extra={"color_message": "x", "n": 1})
    logging.getLogger("portside.y").error("failed", extra={"portside": {"request_id": "r1"}})
    # then
    first, second, third = lines(stderr)
    assert list(first) == ["timestamp", "level", "event", "service", "server_id", "logger", "size"]
    assert first["timestamp"].endswith("Z")
    assert len(first["timestamp"]) == len("2026-01-01T00:00:00.000Z")
    assert tuple(second[k] for k in ("level", "event", "logger", "n")) == ("warning", "hello you", "some.library", 1)
    assert "color_message" not in second
    assert third["request_id"] == "r1"


def test_stack_traces_stay_on_the_line(stderr: Capture) -> None:
    log.configure("info", "json")
    try:
        raise ValueError("why")
    except ValueError:
        structlog.get_logger("a").error("one", exc_info=True)
        logging.getLogger("b").exception("two")
    assert [line["exception"].splitlines()[-1] for line in lines(stderr)] == ["ValueError: why"] * 2


def test_the_level_holds_for_everybody(stderr: Capture) -> None:
    log.configure("ERROR", "json")
    structlog.get_logger("a").warning("no")
    logging.getLogger("b").warning("no")
    log.request_sink(Record(status=200))
    log.request_sink(Record(status=500))
    assert [line["event"] for line in lines(stderr)] == ["http.request"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="expected debug, info"):
        log.configure("loud")


def test_a_request_is_one_event_with_known_fields(stderr: Capture) -> None:
    log.configure("info", "json", "portside", "s1")
    log.request_sink(Record("r1", "POST", "203.0.113.9", route="/mcp", status=200, name="echo", era="modern"))
    log.request_sink(Record("r2", status=503))
    first, second = lines(stderr)
    assert set(first) <= set(LOG_FIELDS)
    assert tuple(first[k] for k in ("event", "level", "service", "server_id", "request_id")) == (
        "http.request",
        "info",
        "portside",
        "s1",
        "r1",
    )
    assert second["level"] == "error"


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\ud800", '"}'])
def test_a_clients_word_stays_inside_its_field(stderr: Capture, name: str) -> None:
    log.configure("info", "json")
    log.request_sink(Record(status=200, name=name))
    assert len(lines(stderr)) == 1


def test_a_clients_word_does_not_steer_the_terminal(stderr: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    log.configure("info", "auto")
    log.request_sink(Record(status=200, name="x\x1b]0;owned\x07"))
    assert "\x1b]0;" not in terminal.getvalue()
    assert "http.request" in terminal.getvalue()


KEY = "psk_0123abcd_" + "A" * 49
URL = "postgresql://ann:hunter2@db/x"
KNOWN = "0123456789abcdef" * 4


def tell_secrets() -> None:
    """Log secrets in every place a line has for them."""
    logger = structlog.get_logger("portside.x")
    logger.info("opened", url=URL, nested={KEY: [{"deep": KEY}]}, odd=Path(KEY), known=KNOWN)
    logging.getLogger("some.library").warning("hello %s", KEY, extra={"n": KEY})
    try:
        raise ValueError(f"no such thing: {KEY}, {KNOWN}") from LookupError(URL)
    except ValueError:
        logger.exception("failed")
        logging.getLogger("portside.y").error(KEY, exc_info=True, extra={"portside": {"request_id": KEY}})
    log.request_sink(Record(status=200, name=f"https://x.example/?key={KEY}"))
    log.request_sink(Record(status=500, error=f"{'x' * 470} {KNOWN}"))


def check_no_secrets(text: str) -> None:
    assert not [secret for secret in (KEY[-24:], "hunter2", KNOWN[:24]) if secret in text]
    assert "********" in text


def test_no_line_tells_a_secret(stderr: Capture, tmp_path: Path) -> None:
    log.configure("info", "json", log_dir=tmp_path, secrets=[KNOWN])
    tell_secrets()
    text = stderr.readouterr().err
    check_no_secrets(text)
    events = [json.loads(line) for line in text.splitlines()]
    assert [one["event"] for one in events] == ["opened", "hello ********", "failed", "********", *["http.request"] * 2]
    assert events[0]["url"] == "postgresql://ann:********@db/x"
    assert events[0]["nested"] == {"********": [{"deep": "********"}]}
    assert "LookupError" in events[2]["exception"]
    assert events[4]["name"] == "https://x.example/?key=********"
    for file in ("combined.log", "error.log"):
        check_no_secrets((tmp_path / file).read_text())


def test_no_secret_is_shown_to_a_person(stderr: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    log.configure("info", "auto", secrets=[KNOWN])
    tell_secrets()
    check_no_secrets(terminal.getvalue())
    assert "LookupError" in terminal.getvalue()


def test_a_line_that_cannot_be_made_is_told_without_its_arguments(stderr: Capture, tmp_path: Path) -> None:
    logging.getLogger().handlers = []  # pytest's own fail where a line cannot be made
    log.configure("info", "json", log_dir=tmp_path)
    logging.getLogger("some.library").warning("%d pieces", KEY)
    [line] = lines(stderr)
    assert tuple(line[k] for k in ("event", "logger", "error")) == ("log.line_failed", "some.library", "TypeError")
    assert __file__ in line["where"]
    assert json.loads((tmp_path / "combined.log").read_text()) == line


def test_values_json_does_not_know_are_shown(stderr: Capture) -> None:
    log.configure("info", "json")
    loop: dict[str, Any] = {}
    loop["self"] = loop
    structlog.get_logger("a").info("odd", a={1}, b=object, c=loop)
    assert lines(stderr)[0]["event"] in ("odd", "'odd'")


def test_warnings_are_logged(stderr: Capture) -> None:
    log.configure("info", "json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", UserWarning, stacklevel=1)
    assert lines(stderr)[0]["logger"] == "py.warnings"


def test_reclaim_takes_the_console_back_and_leaves_other_handlers(stderr: Capture, tmp_path: Path) -> None:
    # given
    log.configure("info", "json")
    root, sdk, ours = logging.getLogger(), logging.getLogger("sdk.of.somebody"), logging.getLogger("portside.gateway")
    kept = logging.FileHandler(tmp_path / "own.log")
    root.addHandler(logging.StreamHandler(sys.stderr))
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    sdk.addHandler(logging.StreamHandler(sys.stderr))
    sdk.propagate = False
    ours.disabled = True
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    # when
    log.reclaim()
    sdk.info("one")
    ours.info("two")
    structlog.get_logger("three").info("three")
    root.debug("four")
    # then
    assert [line["event"] for line in lines(stderr)] == ["one", "two", "three"]
    assert kept in root.handlers
    root.removeHandler(kept)
    kept.close()


def test_reclaim_survives_a_forced_configuration(stderr: Capture, tmp_path: Path) -> None:
    log.configure("info", "json", log_dir=tmp_path)
    logging.basicConfig(force=True, stream=sys.stderr)
    log.reclaim()
    logging.getLogger("a").info("here")
    assert [line["event"] for line in lines(stderr)] == ["here"]
    assert len((tmp_path / "combined.log").read_text().splitlines()) == 1


def test_configuring_again_writes_no_line_twice(stderr: Capture) -> None:
    log.configure("info", "json")
    log.configure("info", "json")
    logging.getLogger("a").info("once")
    assert len(lines(stderr)) == 1


def test_files_hold_everything_and_the_errors(stderr: Capture, tmp_path: Path) -> None:
    log.configure("info", "json", log_dir=tmp_path / "logs")
    logging.getLogger("a").info("fine")
    logging.getLogger("a").error("bad")
    log.request_sink(Record(status=200))
    log.request_sink(Record(status=500))
    events = {
        name: [json.loads(line)["event"] for line in (tmp_path / "logs" / name).read_text().splitlines()]
        for name in ("combined.log", "error.log")
    }
    expected = {"combined.log": ["fine", "bad", "http.request", "http.request"], "error.log": ["bad", "http.request"]}
    assert expected == events


def test_a_file_rotates_and_at_most_three_are_kept(
    stderr: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "FILE_LIMIT_BYTES", 500)
    log.configure("info", "json", log_dir=tmp_path)
    for _ in range(30):
        log.request_sink(Record(status=200))
    files = sorted(path.name for path in tmp_path.glob("combined.log*"))
    assert files == ["combined.log", "combined.log.1", "combined.log.2"]
    assert all(path.stat().st_size <= 500 for path in tmp_path.glob("combined.log*"))


def test_a_full_disk_is_told_once_and_stops_nothing(
    stderr: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    log.configure("info", "json", log_dir=tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    # when
    with monkeypatch.context() as patched:
        patched.setattr(log_file.File, "_write", full)
        for _ in range(5):
            log.request_sink(Record(status=200))
            logging.getLogger("a").info("still here")
    log.request_sink(Record(status=200))
    # then
    events = [line["event"] for line in lines(stderr)]
    assert (events.count("log.file_failed"), events.count("still here"), events.count("http.request")) == (1, 5, 6)
    written = (tmp_path / "combined.log").read_text().split()
    assert [json.loads(line)["event"] for line in written] == ["http.request"]


def test_a_folder_that_can_never_be_written_stops_the_start(stderr: Capture, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartFailed, match="cannot write logs to"):
        log.configure("info", "json", log_dir=tmp_path / "file" / "logs")


def test_a_closed_stderr_stops_nothing(stderr: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    log.configure("info", "json", log_dir=tmp_path)
    closed.close()
    log.request_sink(Record(status=200))
    logging.getLogger("a").info("on")
    assert len((tmp_path / "combined.log").read_text().splitlines()) == 2
