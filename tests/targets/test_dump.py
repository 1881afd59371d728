"""Rendered YAML: the same text for the same tree, read back as that tree by a reader of YAML 1.1."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from portside.targets import dump
from portside.targets.dump import Tree

_SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=20)
_TREES: st.SearchStrategy[Tree] = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_TREES)
def test_what_is_written_is_read_back_as_it_was(tree: Tree) -> None:
    assert yaml.safe_load(dump.yaml(tree)) == tree
    assert json.loads(dump.json_text(tree)) == tree


@pytest.mark.parametrize(
    "text", ["yes", "No", "on", "null", "~", "1e3", "0777", "1:30", "2026-01-01", "", " a", "a: b", "#"]
)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    assert yaml.safe_load(dump.yaml({text: text})) == {text: text}


def test_several_documents_follow_one_another_under_one_head() -> None:
    made = dump.yaml({"a": 1}, {"b": []}, head="One line.\nAnother.")
    assert made == "# One line.\n# Another.\na: 1\n---\nb: []\n"
