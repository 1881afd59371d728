"""A tool's arguments read by its own model, bounded: the model judges, but a report on a million wrong ones is cut.

The model and not the schema, because the SDK takes more than its schemas say: JSON in a text, "3" for a number. So
arguments are judged alike whatever their size, but above `BULKY_BYTES` the first wrong element of a collection ends it.
"""

import gc
from collections.abc import Callable
from typing import Any, Final, cast

from mcp.server.mcpserver.tools import Tool
from pydantic import BaseModel
from pydantic_core import SchemaError, SchemaValidator

from portside.hosting.large import LargeWork
from portside.wire.strict import LARGE

BULKY_BYTES: Final = 16 * 1024

_COLLECTIONS: Final = frozenset({"list", "tuple", "set", "frozenset", "dict"})
_NO_SCHEMA: Final = frozenset({"metadata", "default", "expected", "members", "serialization", "cls"})
"""Entries of a core schema that hold the user's own values, or say nothing of validation."""


class Reader:
    """Reads arguments of one tool that may be large. Made when first needed: few tools ever get such."""

    def __init__(self, tool: Tool) -> None:
        self._metadata = tool.fn_metadata
        self._validate = stopping_early(tool.fn_metadata.arg_model)

    def read(self, arguments: dict[str, Any]) -> BaseModel:
        """Return the tool's own model of `arguments`. Raises pydantic's ValidationError, and what validators raise.

        Garbage is not collected meanwhile: there is none, and looking for it would take longer than the reading.
        """
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            return cast("BaseModel", self._validate(self._metadata.pre_parse_json(arguments)))
        finally:
            if was_enabled:
                gc.enable()


def stopping_early(model: type[BaseModel]) -> Callable[[Any], Any]:
    """Return what validates as the model does, except that a collection ends at its first wrong element."""
    schema: Any = model.__pydantic_core_schema__
    if not isinstance(schema, dict):  # not complete until now
        model.model_rebuild()
        schema = model.__pydantic_core_schema__
    try:
        # Ready-made validators of models inside would report on everything.
        return SchemaValidator(_stopping(schema), None, _use_prebuilt=False).validate_python
    except SchemaError:
        return model.model_validate


def _stopping(node: Any) -> Any:
    if isinstance(node, list | tuple):
        items = cast("list[Any] | tuple[Any, ...]", node)
        return type(items)(map(_stopping, items))
    if type(node) is not dict:
        return node
    members = cast("dict[str, Any]", node)
    kind: object = members.get("type")
    if not isinstance(kind, str):
        return {name: _stopping(value) for name, value in members.items()}
    made = {name: value if name in _NO_SCHEMA else _stopping(value) for name, value in members.items()}
    return {**made, "fail_fast": True} if kind in _COLLECTIONS else made


class Readers:
    """The readers of all tools of a server, and the turns they take."""

    def __init__(self) -> None:
        self._readers: dict[str, tuple[Tool, Reader]] = {}
        self._large = LargeWork()

    async def read(self, tool: Tool, arguments: dict[str, Any], size: int) -> BaseModel:
        """Return the model of arguments that came in a message of `size` bytes; in a thread where they are large.

        Raises pydantic's ValidationError, and what the user's own validators raise.
        """
        known = self._readers.get(tool.name)
        if known is None or known[0] is not tool:
            known = self._readers[tool.name] = (tool, Reader(tool))
        reader = known[1]
        return reader.read(arguments) if size <= LARGE else await self._large.run(reader.read, arguments)
