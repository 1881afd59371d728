"""Arguments mirrored into headers (MCP 2026-07-28, Custom Headers from Tool Parameters)."""

from typing import Any

import pytest

from portside.wire import parameters, refusal
from portside.wire.refusal import Refusal

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "where": {"type": "object", "properties": {"zone": {"type": "integer", "x-mcp-header": "Zone"}}},
        "dry": {"type": "boolean", "x-mcp-header": "Dry"},
    },
}


def agrees(arguments: dict[str, Any], *raw: tuple[bytes, bytes]) -> bool:
    try:
        parameters.check(parameters.declared(SCHEMA), arguments, raw)
    except Refusal as error:
        assert error.code == refusal.HEADER_MISMATCH
        return False
    return True


def test_declared_parameters_are_found_also_nested() -> None:
    found = {one.header: one.path for one in parameters.declared(SCHEMA)}
    assert found == {
        b"mcp-param-region": ("region",),
        b"mcp-param-zone": ("where", "zone"),
        b"mcp-param-dry": ("dry",),
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"x-mcp-header": "Root"},
        {"properties": {"a": {"type": "number", "x-mcp-header": "A"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": "a b"}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": ""}}},
        {"properties": {"a": {"type": "string", "x-mcp-header": 5}}},
        {"properties": {"a": {"items": {"type": "string", "x-mcp-header": "A"}}}},
        {
            "properties": {
                "a": {"type": "string", "x-mcp-header": "A"},
                "b": {"type": "string", "x-mcp-header": "a"},
            }
        },
    ],
)
def test_a_schema_with_a_broken_annotation_declares_nothing(broken: dict[str, Any]) -> None:
    assert parameters.declared(broken) == ()


def test_annotations_inside_data_are_data() -> None:
    assert parameters.declared({"properties": {"a": {"default": {"x-mcp-header": "A"}}}}) == ()


def test_present_and_equal_or_absent_together_is_fine() -> None:
    assert agrees({})
    assert agrees({"region": None})
    assert agrees({"region": "eu"}, (b"mcp-param-region", b"eu"))
    assert agrees({"region": "größe"}, (b"mcp-param-region", b"=?base64?Z3LDtsOfZQ==?="))
    assert agrees({"where": {"zone": 42}}, (b"mcp-param-zone", b"42"))
    assert agrees({"where": {"zone": 42.0}}, (b"mcp-param-zone", b"42"))
    assert agrees({"dry": True}, (b"mcp-param-dry", b"true"))
    assert agrees({}, (b"mcp-param-unknown", b"x"))


def test_every_disagreement_is_refused() -> None:
    assert not agrees({"region": "eu"})
    assert not agrees({}, (b"mcp-param-region", b"eu"))
    assert not agrees({"region": "eu"}, (b"mcp-param-region", b"us"))
    assert not agrees({"region": "eu"}, (b"mcp-param-region", b"eu"), (b"mcp-param-region", b"eu"))
    assert not agrees({"region": "eu"}, (b"mcp-param-region", b"=?base64?ZXV?="))
    assert not agrees({"where": {"zone": 42}}, (b"mcp-param-zone", b"42.5"))
    assert not agrees({"region": ["eu"]}, (b"mcp-param-region", b"eu"))
