"""What is made from the table: the reference, `.env.example`, and the settings in force."""

import json
from typing import Any

from portside.secret import HIDDEN
from portside.settings.entry import Entry
from portside.settings.model import ALIASES, TABLE, Settings
from portside.settings.sources import Loaded

_GROUPS = {
    "serve": "Serving",
    "hosting": "The hosted server",
    "stdio": "Children (`stdio:COMMAND`)",
    "upstream": "Upstream servers (`https://…`)",
    "auth": "Authentication",
    "tls": "TLS",
    "rate": "Rate limits",
    "state": "What replicas share",
    "records": "The durable store",
    "ledger": "Calls with an idempotency key",
    "audit": "The audit log",
    "limits": "Limits",
    "proxy": "Behind a proxy",
    "streams": "Streams",
    "sessions": "Sessions",
    "observe": "Logs, metrics, health",
    "secrets": "Secrets",
}


_HEAD = "| variable | `portside.toml` | accepts | default | unit | what it is for |"


def reference() -> str:
    """Return the settings reference, docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Made from `src/portside/settings/model.py` by `portside settings document`.",
        "",
        "Flags come before environment variables, those before the secrets folder, that before `portside.toml`.",
        "A secret can also be given as `NAME_FILE`, the path of a file; in production not everybody may read it.",
        "A wrong value, an unknown `PORTSIDE_` variable or a near miss stops the start; all problems are told at once.",
        "",
    ]
    for group, title in _GROUPS.items():
        lines += [f"## {title}", "", _HEAD, "|" + "---|" * _HEAD.count(" | ") + "---|"]
        lines += [_row(name, entry) for name, entry in _in(group)]
        lines.append("")
    lines += [
        "## Shared with the hosted server",
        "",
        (
            "Read where ours is not set, and never taken out of its environment: "
            f"{', '.join(f'`{name}` (`{TABLE[attribute].name}`)' for name, attribute in ALIASES.items())}. "
            "`REDIS_PASSWORD` stays there too."
        ),
        "",
        "",
    ]
    return "\n".join(lines)


def env_example() -> str:
    """Return `.env.example`: every variable with its default, commented out."""
    lines = ["# Settings of portside, all with their defaults. Made by `portside settings document --env-example`."]
    for group, title in _GROUPS.items():
        lines += ["", f"# {title}"]
        for name, entry in _in(group):
            value = "" if entry.is_secret else _plain(name)
            lines += [f"# {Settings.model_fields[name].description}", f"# {entry.name}={value}"]
            if entry.is_secret:
                lines.append(f"# {entry.name}_FILE=")
    return "\n".join(lines) + "\n"


def show(loaded: Loaded, *, as_json: bool) -> str:
    """Return the settings in force, each with where it came from; secrets hidden."""
    rows = [(entry.name, _shown(loaded, name, entry), loaded.origins[name]) for name, entry in TABLE.items()]
    if as_json:
        return json.dumps({name: {"value": value, "origin": origin} for name, value, origin in rows}, indent=2)
    texts = [(name, "-" if value is None else str(value), origin) for name, value, origin in rows]
    widths = [max(len(row[column]) for row in texts) for column in (0, 1)]
    return "\n".join(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}" for name, value, origin in texts)


def _shown(loaded: Loaded, name: str, entry: Entry) -> Any:
    value: Any = getattr(loaded.settings, name)
    if entry.is_secret:
        return HIDDEN if value else None
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _in(group: str) -> list[tuple[str, Entry]]:
    return [(name, entry) for name, entry in TABLE.items() if entry.key.partition(".")[0] == group]


def _row(name: str, entry: Entry) -> str:
    key = "by file only" if entry.is_secret else f"`{entry.key}`"
    text = Settings.model_fields[name].description or ""
    cells = (f"`{entry.name}`", key, entry.expected, _default(name), entry.unit or "-", text)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(name: str) -> str:
    field = Settings.model_fields[name]
    if field.default_factory is not None:
        return ""
    value: object = field.default
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value == () else str(value)


def _default(name: str) -> str:
    if Settings.model_fields[name].default_factory is not None:
        return "the host name"
    text, default = _plain(name), Settings.model_fields[name].default
    if TABLE[name].unit == "bytes" and isinstance(default, int):
        return f"`{_binary(default)}`"
    return f"`{text}`" if text else "none"


def _binary(size: int) -> str:
    for factor, unit in ((1024**2, "MiB"), (1024, "KiB")):
        if size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
