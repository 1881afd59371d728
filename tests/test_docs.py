"""What can be made from code is made from code, and everything public says what it is."""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

import click
import pytest

from portside.cli import document as cli_document
from portside.cli.main import main
from portside.settings import document as settings_document

ROOT: Final = Path(__file__).parents[1]
SRC: Final = ROOT / "src" / "portside"
FILES: Final = sorted(SRC.rglob("*.py"))
FOLDERS: Final = (".", "docs", "changelog", "examples", "requirements")
PAGES: Final = [page for folder in FOLDERS for page in sorted((ROOT / folder).glob("*.md"))]

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

FOREIGN: Final = {
    "click.Group": {"list_commands", "get_command", "format_commands"},
    "uvicorn.Server": {"capture_signals"},
    "asyncio.Protocol": {"connection_made", "data_received", "connection_lost"},
    "httptools": {"on_message_begin", "on_url", "on_header", "on_headers_complete", "on_body", "on_message_complete"},
    "the SDK's Outbound": {"send_raw_request"},
}
"""Methods that somebody else calls and describes."""


def test_the_settings_reference_is_made_from_the_table() -> None:
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_document.reference(), (
        "run `make docs`"
    )


def test_the_example_environment_is_made_from_the_table() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == settings_document.env_example(), "run `make docs`"


def test_the_command_reference_is_made_from_the_commands() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == cli_document.reference(), "run `make docs`"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_everything_public_has_a_docstring(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "the module has none"
    assert list(undocumented(tree)) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def open(): ...", ["open"]),
        ("class Door: ...", ["Door"]),
        ('class Door:\n    """Of wood."""\n    def swing(self): ...', ["Door.swing"]),
        ('class Door:\n    """Of wood."""\n    def _creak(self): ...\n    def __repr__(self): ...', []),
        ('class Here:\n    """Where a session hears."""\n    async def notify(self, message): ...', []),
    ],
)
def test_a_missing_docstring_is_found(source: str, names: list[str]) -> None:
    assert list(undocumented(ast.parse(source))) == names


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Yield what is public and has no docstring.

    A method may go without where it implements one that is described: by a Protocol of ours, by a base of its class,
    or by the library that calls it.
    """
    for node in public(tree.body):
        if ast.get_docstring(node) is None:
            yield node.name
        if isinstance(node, ast.ClassDef):
            described = described_methods(bases(node)).union(*FOREIGN.values())
            for member in public(node.body):
                # What the properties of a shape are is said by the shape.
                is_shape = "Protocol" in bases(node) and any(
                    ast.unparse(one) == "property" for one in member.decorator_list
                )
                if ast.get_docstring(member) is None and member.name not in described and not is_shape:
                    yield f"{node.name}.{member.name}"


def public(body: Iterable[ast.stmt]) -> Iterator[Definition]:
    """Yield the classes and functions that a body defines for others."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node


def bases(node: ast.ClassDef) -> frozenset[str]:
    """Return the names of a class's bases, without their modules and type parameters."""
    return frozenset(ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases)


def described_methods(names: frozenset[str]) -> frozenset[str]:
    """Return the documented methods of every Protocol of ours and of our classes called one of `names`."""
    return frozenset(
        member.name
        for node in our_classes()
        if node.name in names or "Protocol" in bases(node)
        for member in public(node.body)
        if ast.get_docstring(member)
    )


@cache
def our_classes() -> tuple[ast.ClassDef, ...]:
    """Return every class of the package, nested ones included."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in FILES]
    return tuple(node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_commands_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(code_of(text))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z]+)", code):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for words in commands_in(code):
        assert is_command(words.split()), f"portside {words}"
    for script in re.findall(r"\b(?:examples|tests|bench)/[\w/.-]+\.py", text):
        assert (ROOT / script).exists(), script


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("serve server.py", True),
        ("settings show", True),
        ("settings sing", False),
        ("dance", False),
        ("audit init-key", True),
        ("audit init", False),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, found: bool) -> None:
    assert is_command(line.split()) is found


def test_a_commands_name_is_read_with_its_hyphens_and_without_what_follows() -> None:
    text = "portside audit init-key /etc/audit.key\n$ portside settings show --json | portside-like thing"
    assert list(commands_in(text)) == ["audit init-key", "settings show"]


def commands_in(code: str) -> Iterator[str]:
    """Yield the words after `portside` that may name a command, line by line."""
    for match in re.finditer(r"(?<![\w./-])portside((?: [a-z]+(?:-[a-z]+)*(?![\w./:=-]))+)", code):
        yield match[1].strip()


def code_of(markdown: str) -> list[str]:
    """Return the code blocks and inline code of a page."""
    found = re.findall(r"^```\w*\n(.*?)^```|`([^`\n]+)`", markdown, re.MULTILINE | re.DOTALL)
    return [block or span for block, span in found]


def is_command(words: list[str]) -> bool:
    """Return whether the first words name a command, those after it being its arguments."""
    command: click.Command | None = main
    for word in words:
        if not isinstance(command, click.Group):
            break
        command = command.get_command(click.Context(command), word)
    return command is not None
