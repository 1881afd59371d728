"""The figures of the hops as tables with ratios, for the JSON document, and against their bars."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from operator import attrgetter
from typing import Any

from figures import Bar, heading, load_line, ratio, ratio_document, ratio_lines, rounds_document
from hop_sides import Hop, HopRow, Via
from hops import Hops
from load import Slice
from wire import Era

LIMITS = {
    (Hop.STDIO, Via.MCP_PROXY): 0.10,
    (Hop.UPSTREAM, Via.MCP_PROXY): 0.10,
    (Hop.UPSTREAM, Via.NGINX): 6.0,
}
"""What portside may cost at most, as a share of its rival, with all connections calling."""

BEHIND = {Hop.STDIO: "a child", Hop.UPSTREAM: "a server over HTTP"}


def hop_pairs(hops: Hops) -> Iterator[tuple[HopRow, list[Slice], list[Slice]]]:
    """Yield the row of every rival with the slices of the same row of portside, and its own."""
    for row, theirs in hops.slices.items():
        ours = hops.slices.get(replace(row, via=Via.PORTSIDE))
        if row.via is not Via.PORTSIDE and ours is not None:
            yield row, ours, theirs


def hop_tables(hops: Hops) -> list[str]:
    """Return one table for each hop, era and number of connections."""
    tables: list[str] = []
    for group in dict.fromkeys((row.hop, row.era, row.connections) for row in hops.slices):
        hop, era, connections = group
        plural = "" if connections == 1 else "s"
        lines = [f"{hop.value} hop to {BEHIND[hop]}, {era.value} era, {connections} connection{plural}", heading()]
        lines += [load_line(row.via.value, pieces) for row, pieces in hops.slices.items() if _group(row) == group]
        for row, ours, theirs in hop_pairs(hops):
            if _group(row) == group:
                lines += ratio_lines(row.via.value, ours, theirs)
        tables.append("\n".join(lines))
    return tables


def hop_bars(hops: Hops) -> list[Bar]:
    """Return the bars this run can judge: with most connections, of the rivals that are installed."""
    most = max((row.connections for row in hops.slices), default=0)
    found: list[Bar] = []
    for row, ours, theirs in hop_pairs(hops):
        if row.connections == most:
            promise = f"CPU per call, {row.hop.value} hop, {row.era.value} era, portside : {row.via.value}"
            measured = ratio(ours, theirs, attrgetter("cpu_s_per_1000")).median
            found.append(Bar(promise, LIMITS[row.hop, row.via], measured, ""))
    return found


def hop_document(hops: Hops) -> dict[str, Any]:
    """Return the hops for the JSON document."""
    return {
        "load": [asdict(row) | {"rounds": rounds_document(pieces)} for row, pieces in hops.slices.items()],
        "ratios": [asdict(row) | ratio_document(ours, theirs) for row, ours, theirs in hop_pairs(hops)],
        "absent": dict(hops.absent),
    }


def _group(row: HopRow) -> tuple[Hop, Era, int]:
    return row.hop, row.era, row.connections
