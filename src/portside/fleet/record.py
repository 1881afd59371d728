"""What runs, as `fleet.json` keeps it: enough for the next supervisor to adopt everything."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

import msgspec

from portside.fleet.decision import Goal
from portside.fleet.folder import FleetFailed, Folder, write
from portside.fleet.process import Process
from portside.fleet.slot import Phase, Slot

VERSION: Final = 1

ProxyName = Literal["haproxy", "nginx", "none"]


class Facts(msgspec.Struct, frozen=True):
    """What stays the same as long as a fleet runs. `gates`: nginx's folder. `redis_port`: of the local Redis."""

    target: str
    proxy: ProxyName
    host: str
    port: int
    stats_port: int
    ports: tuple[int, ...]
    redis_port: int | None = None
    gates: str | None = None
    is_tls: bool = False


class SlotRecord(msgspec.Struct, frozen=True):
    """A slot that is not empty, or has something to tell."""

    number: int
    phase: Phase
    generation: int
    is_in: bool
    failures: int
    restarts: int
    failed: str
    process: Process | None


class Recorded(msgspec.Struct, frozen=True):
    """The whole file."""

    facts: Facts
    goal: Goal
    slots: tuple[SlotRecord, ...]
    supervisor: Process | None = None
    proxy: Process | None = None
    redis: Process | None = None
    version: int = VERSION


def save(folder: Folder, recorded: Recorded) -> None:
    """Write down what runs."""
    write(folder.state, msgspec.json.format(msgspec.json.encode(recorded)).decode() + "\n")


def load(folder: Folder) -> Recorded | None:
    """Return what was written down last, None where nothing was. Raises FleetFailed where it cannot be read."""
    try:
        found = msgspec.json.decode(folder.state.read_bytes(), type=Recorded)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise FleetFailed(f"{folder.state} cannot be read: {error}", hint="what runs must be ended by hand") from error
    if found.version != VERSION:
        raise FleetFailed(f"{folder.state} has version {found.version}, expected {VERSION}")
    return found


def slots_of(recorded: Recorded, now: float, drain_s: float) -> list[Slot]:
    """Return all slots as they were, their times beginning anew; what is ending has `drain_s` left."""
    known = {one.number: one for one in recorded.slots}
    slots = [Slot(number, port) for number, port in enumerate(recorded.facts.ports, 1)]
    return [_slot(slot, known[slot.number], now, drain_s) if slot.number in known else slot for slot in slots]


def record_of(slot: Slot, process: Process | None) -> SlotRecord:
    """Return what is written down about a slot."""
    return SlotRecord(
        slot.number, slot.phase, slot.generation, slot.is_in, slot.failures, slot.restarts, slot.failed, process
    )


def processes_of(recorded: Recorded) -> Mapping[int, Process]:
    """Return the replicas' processes by their slots' numbers."""
    return {one.number: one.process for one in recorded.slots if one.process is not None}


def told(slots: Sequence[Slot], processes: Mapping[int, Process]) -> tuple[SlotRecord, ...]:
    """Return what is written down about all slots."""
    return tuple(
        record_of(slot, processes.get(slot.number)) for slot in slots if slot.phase is not Phase.EMPTY or slot.restarts
    )


def _slot(slot: Slot, known: SlotRecord, now: float, drain_s: float) -> Slot:
    return replace(
        slot,
        phase=known.phase,
        since=now,
        generation=known.generation,
        is_in=known.is_in,
        failures=known.failures,
        restarts=known.restarts,
        failed=known.failed,
        not_before=now,
        kill_at=now + drain_s if known.phase is Phase.ENDING else None,
    )
