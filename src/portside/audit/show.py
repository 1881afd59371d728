"""Rows and reports, as people read them and as programs do."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from portside.audit import chain
from portside.audit.base import Stored, Unreadable
from portside.audit.finding import Finding, Report


def line(row: Stored | Unreadable) -> str:
    """Return a row as one line; whatever a client chose stays escaped, so that it cannot steer a terminal."""
    entry = _words(row)
    if "unreadable" in entry:
        return f"unreadable: {entry['unreadable']}: {entry['reason']}"
    said = {name: entry[name] for name in ("event", "seal", "anchor") if name in entry}
    mark = "signed" if entry["signed_by"] else "      "
    return f"{moment(entry['time'])}  {entry['writer']!s} {entry['sequence']:>8}  {mark}  {json.dumps(said)}"


def as_json(row: Stored | Unreadable) -> str:
    """Return a row's own words, its hash and the id of the key that signed it, as one line of JSON."""
    return json.dumps(_words(row))


def table(report: Report) -> str:
    """Return a report as lines: findings, writers, notices, and the sum of it."""
    findings = [
        f"{one.kind:<11} {one.writer} {_span(one)}: {one.text} (signatures vouch up to {one.after})"
        for one in report.findings
    ]
    more = [f"and {report.more} more findings"] if report.more else []
    writers = [
        f"writer      {one.writer}: {one.first} to {one.last}, signed up to {one.signed}, {one.state}, "
        f"verified until {moment(one.verified_until_us)}"
        for one in report.writers
    ]
    notices = [f"notice      {notice}" for notice in report.notices]
    total = (
        f"{'sound' if report.is_sound else 'NOT SOUND'}: {report.rows} entries, {report.verified} vouched for by "
        f"{report.checkpoints} signatures, verified until {moment(report.verified_until_us)}"
    )
    return "\n".join([*findings, *more, *writers, *notices, total])


def report_as_json(report: Report) -> str:
    """Return a report as JSON."""
    said: dict[str, Any] = {"is_sound": report.is_sound, "verified_until_us": report.verified_until_us}
    return json.dumps({**said, **dataclasses.asdict(report)}, indent=2)


def moment(time_us: int) -> str:
    """Return a time as ISO 8601 in UTC, or the number where it is no time: a row may say anything."""
    try:
        return datetime.fromtimestamp(time_us / 1_000_000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return str(time_us)


def _words(row: Stored | Unreadable) -> dict[str, Any]:
    if isinstance(row, Unreadable):
        return {"unreadable": row.place, "reason": row.reason}
    try:
        chain.decode(row.entry)
        words: dict[str, Any] = msgspec.json.decode(row.entry, type=dict[str, Any])
    except chain.DecodeError as error:
        return {"unreadable": row.writer, "reason": str(error)}
    return {**words, "hash": row.hash, "signed_by": row.key}


def _span(finding: Finding) -> str:
    if finding.last == finding.first:
        return str(finding.first)
    return f"{finding.first} to {'the end' if finding.last is None else finding.last}"
