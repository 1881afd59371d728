"""What is made from the table is complete, true, and free of secrets."""

import json
from pathlib import Path

from portside.settings import document
from portside.settings.model import ALIASES, TABLE
from portside.settings.sources import load

KEY = bytes(range(32)).hex()


def test_the_reference_has_one_row_for_every_setting() -> None:
    rows = [line for line in document.reference().splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1] for row in rows) == sorted(entry.name for entry in TABLE.values())
    assert {row.count(" | ") for row in rows} == {5}
    for entry in TABLE.values():
        (row,) = [row for row in rows if f"| `{entry.name}` |" in row]
        assert entry.expected in row
        assert entry.is_secret or f"`{entry.key}`" in row


def test_the_reference_names_what_is_shared_with_the_hosted_server() -> None:
    text = document.reference()
    assert [name for name in ALIASES if f"`{name}`" not in text] == []


def test_the_example_set_as_it_stands_gives_the_defaults() -> None:
    lines = [line[2:] for line in document.env_example().splitlines() if line.startswith("# ") and "=" in line]
    environ = dict(line.split("=", 1) for line in lines if line.split("=", 1)[0].isupper())
    assert {entry.name for entry in TABLE.values()} <= environ.keys()
    assert load(environ).settings == load({}).settings


def test_the_settings_in_force_are_shown_with_their_origins() -> None:
    loaded = load({"MCP_PORT": "4000", "PORTSIDE_ALLOWED_HOSTS": "a.com,b.com"}, flags={"log_level": "debug"})
    shown = json.loads(document.show(loaded, as_json=True))
    assert shown["MCP_PORT"] == {"value": 4000, "origin": "environment MCP_PORT"}
    assert shown["LOG_LEVEL"] == {"value": "debug", "origin": "flag --log-level"}
    assert shown["PORTSIDE_ALLOWED_HOSTS"]["value"] == "a.com,b.com"
    assert list(shown) == [entry.name for entry in TABLE.values()]
    rows = [line.split() for line in document.show(loaded, as_json=False).splitlines()]
    assert ["MCP_PORT", "4000", "environment", "MCP_PORT"] in rows
    assert len(rows) == len(TABLE)


def test_a_secret_is_shown_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY, encoding="utf-8")
    file.chmod(0o600)
    for environ in ({"ENCRYPTION_KEY": KEY}, {"ENCRYPTION_KEY": f"new:{KEY}"}, {"ENCRYPTION_KEY_FILE": str(file)}):
        loaded = load(environ)
        texts = [repr(loaded), str(loaded.settings), repr(loaded.settings.model_dump())]
        texts += [document.show(loaded, as_json=True), document.show(loaded, as_json=False)]
        assert [text for text in texts if KEY in text or repr(bytes.fromhex(KEY)) in text] == []
        assert json.loads(texts[3])["ENCRYPTION_KEY"]["value"] == "********"
