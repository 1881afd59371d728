"""What servers' own validation says of wrong arguments, cut to what somebody would read."""

import re
from typing import Any, Final, cast

MAX_PROBLEMS: Final = 10
MAX_TEXT_BYTES: Final = 4096

_REPORT: Final = re.compile(r"(?:Error (?:executing|calling) tool .*?: )?(\d+) validation errors? for ")
"""How the text of pydantic's ValidationError begins, alone or as the SDKs and fastmcp pass it on."""

_PROBLEM: Final = re.compile(r"\n(?! )")


def cut_error(result: dict[str, Any] | None) -> None:
    """Cut the texts of a tool error where it is a report of validation; every other result stays as it is."""
    if result is None or result.get("isError") is not True:
        return
    content: object = result.get("content")
    for one in cast("list[object]", content) if isinstance(content, list) else []:
        block = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        if isinstance(block.get("text"), str):
            block["text"] = cut(block["text"])


def cut(text: str) -> str:
    """Return the text; of a report of validation no more than its first ten problems, in 4 KiB."""
    report = _REPORT.match(text[:1000])
    if report is None:
        return text
    if int(report[1]) > MAX_PROBLEMS:
        text = _cut_problems(text)
    data = text.encode("utf-8", "replace")
    return text if len(data) <= MAX_TEXT_BYTES else data[: MAX_TEXT_BYTES - 3].decode("utf-8", "ignore") + "…"


def _cut_problems(text: str) -> str:
    # Looked for one by one, since there may be megabytes.
    start = 0
    for _ in range(MAX_PROBLEMS):
        found = _PROBLEM.search(text, start)
        if found is None:
            return text
        start = found.end()
    end = _PROBLEM.search(text, start)
    return text if end is None else f"{text[: end.start()]}\n(only the first {MAX_PROBLEMS} are told)"
