"""The pack itself: every test says which class of vulnerability it stands for, and there are enough of them."""

import ast
import re
from pathlib import Path
from typing import Final

import pytest

FILES: Final = sorted(Path(__file__).parent.glob("test_*.py"))
TESTS: Final = {
    node.name: ast.get_docstring(node) or ""
    for file in FILES
    if file != Path(__file__)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
}


def test_there_are_at_least_forty_five() -> None:
    """Reliability row A1."""
    assert len(TESTS) >= 45


@pytest.mark.parametrize("name", TESTS)
def test_a_regression_names_its_class(name: str) -> None:
    assert re.search(r"\(CWE-\d+(, CWE-\d+)*(; CVE-\d{4}-\d{4,}(, CVE-\d{4}-\d{4,})*)?\)", TESTS[name])
