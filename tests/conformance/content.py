"""What the fixture servers return, word for word as the official scenarios ask for it."""

import base64
import json
import struct
import zlib
from typing import Any, Final

from mcp_types import (
    AudioContent,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    PromptMessage,
    TextContent,
    TextResourceContents,
)

SIMPLE_TEXT: Final = "This is a simple text response for testing."
FAILURE: Final = "This tool intentionally returns an error for testing"
STATIC_TEXT: Final = "This is the content of the static text resource."
WATCHED_TEXT: Final = "Watched resource content"
SUGGESTIONS: Final = ("testValue1", "testValue2")

ADDRESS_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
"""The input schema of `json_schema_2020_12_tool`: every keyword must come through tools/list (SEP-1613, SEP-2106)."""


def red_pixel() -> bytes:
    """Return a PNG of one red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    row = zlib.compress(b"\x00\xff\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")


def silence() -> bytes:
    """Return a WAV of one silent sample."""
    sample = b"\x00\x00"
    form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(sample)) + sample
    return b"RIFF" + struct.pack("<I", len(body)) + body


def text(words: str) -> TextContent:
    """Return `words` as a content block."""
    return TextContent(type="text", text=words)


def image() -> ImageContent:
    """Return the red pixel as a content block."""
    return ImageContent(type="image", data=base64.b64encode(red_pixel()).decode(), mime_type="image/png")


def audio() -> AudioContent:
    """Return the silence as a content block."""
    return AudioContent(type="audio", data=base64.b64encode(silence()).decode(), mime_type="audio/wav")


def embedded(uri: str, words: str, mime_type: str = "text/plain") -> EmbeddedResource:
    """Return a resource with its text as a content block."""
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=words))


def embedded_alone() -> EmbeddedResource:
    """Return what `test_embedded_resource` answers."""
    return embedded("test://embedded-resource", "This is an embedded resource content.")


def mixed() -> list[ContentBlock]:
    """Return a text, an image and a resource."""
    data = json.dumps({"test": "data", "value": 123})
    return [
        text("Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", data, "application/json"),
    ]


def template_text(name: str) -> str:
    """Return the text of `test://template/{id}/data`."""
    return json.dumps({"id": name, "templateTest": True, "data": f"Data for ID: {name}"})


def said(*content: ContentBlock) -> list[PromptMessage]:
    """Return one message from the user per block."""
    return [PromptMessage(role="user", content=block) for block in content]


def simple_prompt() -> list[PromptMessage]:
    """Return what `test_simple_prompt` answers."""
    return said(text("This is a simple prompt for testing."))


def prompt_with_arguments(arg1: str, arg2: str) -> list[PromptMessage]:
    """Return a prompt that quotes both arguments."""
    return said(text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))


def prompt_with_embedded_resource(uri: str) -> list[PromptMessage]:
    """Return a prompt that carries the resource `uri`."""
    return said(
        embedded(uri, "Embedded resource content for testing."), text("Please process the embedded resource above.")
    )


def prompt_with_image() -> list[PromptMessage]:
    """Return a prompt that carries the red pixel."""
    return said(image(), text("Please analyze the image above."))
