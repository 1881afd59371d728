"""What a principal may do: scopes against methods, tools, resources and prompts. Pure, and about bodies only.

Rules go by the parsed body (`Message.method` and `Message.params`), never by headers: a header is the sender's word
about the body, and two readers of the two could be told two things.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from portside.auth.patterns import is_settled, matches
from portside.auth.principal import Principal

Kind = Literal["method", "tool", "resource", "prompt"]
Rules = Mapping[str, frozenset[str]]

NONE: Final[frozenset[str]] = frozenset()
MAX_NAMES: Final = 256
"""Names of one call that are judged one by one; a call about more needs what all of their kind need."""

_NAMED: Final[Mapping[str, tuple[Kind, str]]] = {
    "tools/call": ("tool", "name"),
    "prompts/get": ("prompt", "name"),
    "resources/read": ("resource", "uri"),
    "resources/subscribe": ("resource", "uri"),
    "resources/unsubscribe": ("resource", "uri"),
}
_LISTS: Final[Mapping[str, tuple[str, Kind, str]]] = {
    "tools/list": ("tools", "tool", "name"),
    "prompts/list": ("prompts", "prompt", "name"),
    "resources/list": ("resources", "resource", "uri"),
    "resources/templates/list": ("resourceTemplates", "resource", "uriTemplate"),
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """The operation may go on."""


@dataclass(frozen=True, slots=True)
class Needs:
    """The operation may not go on: `scopes` are all it needs, at once, also those the principal has."""

    scopes: frozenset[str]


ALLOWED: Final = Allowed()


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules. Names in `methods`, `tools`, `resources` and `prompts` may hold `*`.

    `required` is needed for every request, `implies` says which scopes a scope includes (directly; the rest follows).
    A name written out has its own rule alone; otherwise the scopes of every pattern that fits are needed together, so
    that no order and no overlap opens anything. A resource whose URI is not settled (`patterns.is_settled`) could be
    any resource: it needs the scopes of all resource rules.
    """

    required: frozenset[str] = NONE
    advertised: frozenset[str] = NONE
    implies: Rules = field(default_factory=dict[str, frozenset[str]])
    methods: Rules = field(default_factory=dict[str, frozenset[str]])
    tools: Rules = field(default_factory=dict[str, frozenset[str]])
    resources: Rules = field(default_factory=dict[str, frozenset[str]])
    prompts: Rules = field(default_factory=dict[str, frozenset[str]])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is ever asked for, so that no request needs to be judged."""
        return not (self.required or self.methods or self.tools or self.resources or self.prompts)

    def needs(self, method: str, params: Mapping[str, Any] | None) -> frozenset[str]:
        """Return every scope that a call needs."""
        needed = self.required | _of(self.methods, method)
        for number, (kind, name) in enumerate(named(method, params or {})):
            if number == MAX_NAMES:
                return needed.union(*self._rules(kind).values())
            needed |= self._for(kind, name)
        return needed

    def may(self, principal: Principal, method: str, params: Mapping[str, Any] | None) -> Allowed | Needs:
        """Say whether a principal may call `method` with `params`, both from the parsed body."""
        needed = self.needs(method, params)
        return ALLOWED if self._has(principal, needed) else Needs(needed)

    def granted(self, scopes: frozenset[str]) -> frozenset[str]:
        """Return the scopes a token has, those included that its scopes imply."""
        found: set[str] = set()
        ahead = list(scopes)
        while ahead:
            scope = ahead.pop()
            if scope not in found:
                found.add(scope)
                ahead.extend(self.implies.get(scope, ()))
        return frozenset(found)

    def sees(self, principal: Principal, kind: Kind, name: str) -> bool:
        """Say whether a tool, resource, template or prompt belongs into a list this principal asked for."""
        return self._has(principal, self._for(kind, name))

    def filtered(self, principal: Principal, method: str, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a list method with what the principal may use; any other result as it is.

        Where rules decide what is on the list, it is no longer the same for everybody, so a shared cache must not
        keep it (MCP 2026-07-28, Caching, Choosing a Cache Scope); this holds for every page of it.
        """
        listed = _LISTS.get(method)
        if listed is None or not self._rules(listed[1]):
            return result
        member, kind, key = listed
        given: object = result.get(member)
        items = cast("Sequence[object]", given) if isinstance(given, list) else ()
        kept = [item for item in items if self._is_seen(principal, kind, key, item)]
        changed = {**result, member: kept} if isinstance(given, list) else dict(result)
        return {**changed, "cacheScope": "private"} if "cacheScope" in result else changed

    def _is_seen(self, principal: Principal, kind: Kind, key: str, item: object) -> bool:
        name: object = cast("dict[str, Any]", item).get(key) if isinstance(item, dict) else None
        # What has no name cannot be called, and no rule can speak of it.
        return isinstance(name, str) and self.sees(principal, kind, name)

    def _rules(self, kind: Kind) -> Rules:
        return {"method": self.methods, "tool": self.tools, "resource": self.resources, "prompt": self.prompts}[kind]

    def _for(self, kind: Kind, name: str) -> frozenset[str]:
        rules = self._rules(kind)
        if kind == "resource" and name not in rules and not is_settled(name):
            return NONE.union(*rules.values())
        return _of(rules, name)

    def _has(self, principal: Principal, needed: frozenset[str]) -> bool:
        return needed <= principal.scopes or (bool(self.implies) and needed <= self.granted(principal.scopes))


def named(method: str, params: Mapping[str, Any]) -> Iterator[tuple[Kind, str]]:
    """Yield the tools, resources and prompts that a call is about."""
    if method in _NAMED:
        kind, key = _NAMED[method]
        yield from _texts(kind, (params.get(key),))
    elif method == "completion/complete":
        ref = _members(params.get("ref"))
        yield from _texts("prompt", (ref.get("name"),) if ref.get("type") == "ref/prompt" else ())
        yield from _texts("resource", (ref.get("uri"),) if ref.get("type") == "ref/resource" else ())
    elif method == "subscriptions/listen":
        wanted = _members(params.get("notifications"))
        uris: object = wanted.get("resourceSubscriptions")
        yield from _texts("resource", cast("Sequence[object]", uris) if isinstance(uris, list) else ())


def _texts(kind: Kind, values: Iterable[object]) -> Iterator[tuple[Kind, str]]:
    for value in values:
        # Anything but text names nothing: whoever validates the parameters refuses it.
        if isinstance(value, str):
            yield kind, value


def _members(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _of(rules: Rules, name: str) -> frozenset[str]:
    exact = rules.get(name)
    if exact is not None:
        return exact
    return NONE.union(*(scopes for pattern, scopes in rules.items() if "*" in pattern and matches(pattern, name)))
