"""What one entry says, and its one canonical form: sorted keys, UTF-8, whole microseconds."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Literal, cast

import msgspec

from portside.observe.mask import ANYBODYS
from portside.observe.record import Era, Record

Outcome = Literal["started", "ok", "error", "tool_error", "refused", "cancelled", "timeout"]
"""`started` is what is put on record before a call that may change something is let through."""

Policy = Literal["none", "hashed", "redacted", "full"]
Detail = str | int | bool | None

TEXT_LIMIT: Final = 500
"""Characters kept of any text a client chooses."""


class Who(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The principal: its id, never its token; `kind` is how it proved itself."""

    id: str
    kind: str


class What(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What was asked for: method, tool, prompt or resource, era; `session` is a hash of the session id."""

    era: Era | None = None
    method: str
    name: str | None = None
    request: str | None = None
    session: str | None = None


class Arguments(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The arguments as the policy keeps them: nothing, a keyed digest (hex), or the JSON value itself.

    `size` is their length in bytes as canonical JSON; a value past the limit is left out, its size stays.
    """

    digest: str | None = None
    policy: Policy
    size: int
    value: msgspec.Raw = msgspec.Raw()


class Event(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that happened; the writer adds its own name, the sequence and the time.

    `kind` is `call`, or the name of a life event or an act: `key.created`, `settings.changed`, `deploy.started`.
    `origin` is the client's address, `code` a JSON-RPC error code.
    """

    arguments: Arguments | None = None
    code: int | None = None
    details: dict[str, Detail] = {}
    duration_us: int | None = None
    kind: str
    origin: str | None = None
    outcome: Outcome | None = None
    what: What | None = None
    who: Who | None = None


def of_start(record: Record, *, method: str, name: str, arguments: Arguments | None) -> Event:
    """Make the event of a call that is about to be made: who asks and where from, before anything has come of it."""
    return Event(
        kind="call",
        who=_who(record.principal),
        origin=record.client or None,
        what=_what(record, method, name),
        arguments=arguments,
        outcome="started",
    )


def of_request(record: Record) -> Event:
    """Make the event of a request from its record, once that is filled in."""
    return Event(
        kind="call",
        who=_who(record.principal),
        origin=record.client or None,
        what=_what(record, record.rpc_method or record.method, record.name),
        outcome=record.outcome,
        code=record.error_code,
        duration_us=round(record.duration_s * 1_000_000),
        details={"status": record.status},
    )


def life(kind: str, *, who: Who | None = None, **details: Detail) -> Event:
    """Make an event that is no call: a start, a stop, a key created or revoked, settings in force."""
    return Event(kind=kind, who=who, details=details)


@lru_cache(maxsize=1024)
def _who(principal: str | None) -> Who | None:
    return None if principal is None else Who(id=principal, kind=principal.partition(":")[0])


def _what(record: Record, method: str, name: str | None) -> What:
    return What(
        era=record.era,
        method=method,
        # A client calls things what it likes, and a secret on record cannot be taken back.
        name=ANYBODYS.name(name) if name else None,
        request=record.request_id or None,
        session=record.session,
    )


_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(Event)


def canonical(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, no white space, UTF-8.

    A lone surrogate, which UTF-8 cannot hold, becomes U+FFFD. Raises TypeError for what JSON has no form of.
    """
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        return _encoder.encode(_scrubbed(msgspec.to_builtins(value, order="sorted")))


def encode(event: Event) -> bytes:
    """Return the canonical JSON of an event; texts longer than TEXT_LIMIT are cut."""
    return canonical(_bounded(event))


def decode(text: bytes) -> Event:
    """Return the event in canonical JSON; members this version does not know are left out.

    Raises msgspec.DecodeError where it is no event.
    """
    return _decoder.decode(text)


def _bounded(event: Event) -> Event:
    what, who = event.what, event.who
    # Spelt out for what nearly every event is: each call here would be paid twice by every call of a tool.
    if (
        what is not None
        and len(what.method) <= TEXT_LIMIT
        and (what.name is None or len(what.name) <= TEXT_LIMIT)
        and (what.request is None or len(what.request) <= TEXT_LIMIT)
        and (who is None or len(who.id) <= TEXT_LIMIT)
        and (event.origin is None or len(event.origin) <= TEXT_LIMIT)
    ):
        return event
    if what is not None:
        event = msgspec.structs.replace(
            event,
            what=msgspec.structs.replace(
                what, method=what.method[:TEXT_LIMIT], name=_cut(what.name), request=_cut(what.request)
            ),
        )
    if who is not None:
        event = msgspec.structs.replace(event, who=Who(id=who.id[:TEXT_LIMIT], kind=who.kind))
    return msgspec.structs.replace(event, origin=_cut(event.origin))


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:TEXT_LIMIT]


def _scrubbed(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, object]", value)
        return {_scrubbed(key): _scrubbed(item) for key, item in pairs.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(item) for item in cast("list[object]", value)]
    return value
