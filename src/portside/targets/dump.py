"""Writing YAML and JSON: the same text for the same tree, always, with a comment at its head where that is possible.

YAML is written by hand in a form that no reader takes for anything else: whatever might be read as a number, a switch,
a date or null by a reader of YAML 1.1 or 1.2 stands in quotes, and keys keep their order.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

Tree = str | int | float | bool | None | Sequence["Tree"] | Mapping[str, "Tree"]

HEAD: Final = "Made by portside; do not edit: the next rendering would overwrite it."

_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def yaml(*documents: Tree, head: str = HEAD) -> str:
    """Return the documents as one text. `head` becomes a comment of as many lines as it has."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in head.splitlines())
    return comment + "---\n".join("\n".join(_block(document, 0)) + "\n" for document in documents)


def json_text(tree: Tree) -> str:
    """Return the tree as JSON, which has no comments."""
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def _block(tree: Tree, depth: int) -> Iterator[str]:
    pad = "  " * depth
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            if _is_nested(value):
                yield f"{pad}{_text(key)}:"
                yield from _block(value, depth + 1)
            else:
                yield f"{pad}{_text(key)}: {_scalar(value)}"
    elif isinstance(tree, Sequence) and not isinstance(tree, str) and tree:
        for item in tree:
            lines = list(_block(item, depth + 1))
            yield f"{pad}- {lines[0].lstrip(' ')}"
            yield from lines[1:]
    else:
        yield pad + _scalar(tree)


def _is_nested(tree: Tree) -> bool:
    return not isinstance(tree, str) and isinstance(tree, Mapping | Sequence) and len(tree) > 0


def _scalar(tree: Tree) -> str:
    if isinstance(tree, str):
        return _text(tree)
    if isinstance(tree, Mapping):
        return "{}"
    return "[]" if isinstance(tree, Sequence) else json.dumps(tree)


def _text(text: str) -> str:
    is_plain = _PLAIN.fullmatch(text) is not None and text.lower() not in _WORDS
    return text if is_plain else f'"{"".join(map(_escaped, text))}"'


def _escaped(sign: str) -> str:
    """Return a character as it stands between double quotes (YAML 1.2.2 §5.7)."""
    if sign in '"\\':
        return f"\\{sign}"
    return sign if sign.isprintable() else f"\\U{ord(sign):08x}"
