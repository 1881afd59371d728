"""The `[scopes]` table of portside.toml, read into a policy; everything wrong with it is told at once."""

import difflib
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

from portside.auth.challenge import NEVER_ASKED
from portside.auth.claims import is_scope
from portside.auth.patterns import is_settled
from portside.auth.scopes import Policy, Rules
from portside.errors import Problem, SettingsInvalid
from portside.wire import methods

LISTS: Final = ("required", "advertised", "known")
TABLES: Final = ("implies", "methods", "tools", "resources", "prompts")
METHODS: Final = methods.REQUESTS | methods.NOTIFICATIONS
MAX_STARS: Final = 8

_SECTION: Final = "scopes"


def read(table: Mapping[str, Any], *, origin: str = "portside.toml") -> Policy:
    """Return the policy that a `[scopes]` table describes. Raises SettingsInvalid with every problem there is.

    `required`: scopes of every request. `advertised`: scopes clients start with, `required` if not said. `known`: all
    scopes there are; where it is given, any other one is a spelling mistake. `[scopes.implies]`: scope to the scopes
    it includes. `[scopes.methods]`, `[scopes.tools]`, `[scopes.resources]` (URIs), `[scopes.prompts]`: name or pattern
    with `*` to the scopes it needs.
    """
    reading = _Reading(origin)
    for key in table:
        if key not in LISTS + TABLES:
            reading.refuse(key, f"no such key{_hint(key, LISTS + TABLES)}")
    lists = {key: reading.scopes(key, table[key]) for key in LISTS if key in table}
    tables = {key: reading.rules(key, table[key]) for key in TABLES if key in table}
    _check_names(reading, tables)
    _check_known(reading, lists, tables)
    _check_circles(reading, tables.get("implies", {}))
    if reading.problems:
        raise SettingsInvalid(tuple(reading.problems))
    required = lists.get("required", frozenset[str]())
    return Policy(required=required, advertised=lists.get("advertised", required), **tables)


class _Reading:
    """The problems found so far."""

    def __init__(self, origin: str) -> None:
        self.problems: list[Problem] = []
        self._origin = origin

    def refuse(self, key: str, message: str) -> None:
        self.problems.append(Problem(f"{_SECTION}.{key}", message, self._origin))

    def scopes(self, key: str, value: object) -> frozenset[str]:
        """Return a list of scopes as a set."""
        items = cast("list[object]", value) if isinstance(value, list) else None
        if items is None or not all(isinstance(one, str) and is_scope(one) for one in items):
            self.refuse(key, f'{value!r}: expected a list of scopes such as ["files:read"]')
            return frozenset()
        names = frozenset(cast("list[str]", items))
        for name in sorted(names & NEVER_ASKED):
            self.refuse(key, f"{name!r} is not a server's to ask for; remove it")
        return names

    def rules(self, key: str, value: object) -> Rules:
        """Return a table of lists of scopes."""
        if not isinstance(value, dict):
            self.refuse(key, f"{value!r}: expected a table, name to list of scopes")
            return {}
        table = cast("dict[str, object]", value)
        return {name: self.scopes(f'{key}."{name}"', scopes) for name, scopes in table.items()}


def _check_names(reading: _Reading, tables: Mapping[str, Rules]) -> None:
    for key, rules in tables.items():
        for name in rules:
            where = f'{key}."{name}"'
            if name.count("*") > MAX_STARS:
                reading.refuse(where, f"holds more than {MAX_STARS} stars")
            elif key == "implies" and not is_scope(name):
                reading.refuse(where, "is no scope")
            elif key == "methods" and "*" not in name and name not in METHODS:
                reading.refuse(where, f"no such method{_hint(name, METHODS)}")
            elif key == "resources" and not name.startswith("*") and not is_settled(name.replace("*", "x")):
                reading.refuse(where, "not a URI in its normal form, so no URI that is would ever fit it")


def _check_known(reading: _Reading, lists: Mapping[str, frozenset[str]], tables: Mapping[str, Rules]) -> None:
    """Where all scopes are listed, tell those that are not."""
    known = lists.get("known")
    if known is None:
        return
    used = [(key, scopes) for key, scopes in lists.items() if key != "known"]
    used += [(f'{key}."{name}"', scopes) for key, rules in tables.items() for name, scopes in rules.items()]
    used += [("implies", frozenset(tables.get("implies", {})))]
    for key, scopes in used:
        for scope in sorted(scopes - known - NEVER_ASKED):
            reading.refuse(key, f"{scope!r} is not among the known scopes{_hint(scope, known)}")


def _check_circles(reading: _Reading, implies: Rules) -> None:
    """Tell every scope that implies itself: all scopes of a circle would be one and the same."""
    for scope in implies:
        reached: set[str] = set()
        ahead = list(implies[scope])
        while ahead:
            one = ahead.pop()
            if one not in reached:
                reached.add(one)
                ahead.extend(implies.get(one, ()))
        if scope in reached:
            reading.refuse(f'implies."{scope}"', "implies itself, by way of what it implies")


def _hint(name: str, names: Collection[str]) -> str:
    near = difflib.get_close_matches(name, sorted(names), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(sorted(names))}"
