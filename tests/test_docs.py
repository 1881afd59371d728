"""What can be made from code is made from code, and everything public says what it is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from portside.cli import document as cli_document
from portside.settings import document as settings_document

ROOT: Final = Path(__file__).parents[1]
SRC: Final = ROOT / "src" / "portside"
FILES: Final = sorted(SRC.rglob("*.py"))
PAGES: Final = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


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


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Yield public functions and classes without a docstring, and methods of classes that implement no other shape.

    A method that a documented Protocol describes may go without, and so may what Python itself defines.
    """
    shapes = described()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if ast.get_docstring(node) is None:
                yield node.name
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    if not isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) or member.name.startswith("_"):
                        continue
                    if ast.get_docstring(member) is None and member.name not in shapes:
                        yield f"{node.name}.{member.name}"


def described() -> frozenset[str]:
    """Return the method names that some documented base class or Protocol describes."""
    names = {"send_raw_request", "notify", "list_commands", "get_command", "format_commands", "capture_signals"}
    names |= {
        "connection_made",
        "connection_lost",
        "data_received",
        "on_url",
        "on_headers_complete",
        "on_message_begin",
    }
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                names |= {
                    member.name
                    for member in node.body
                    if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(member)
                }
    return frozenset(names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_commands_in_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for script in re.findall(r"\b(?:examples|tests|bench)/[\w/.-]+\.py", text):
        assert (ROOT / script).exists(), script
