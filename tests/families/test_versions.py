"""What is known of versions, on paper. Source of the floors: the packages' own advisories and release notes."""

import pytest

from portside.hosting import versions
from portside.hosting.versions import Finding

CURRENT = {
    "mcp": "2.3.0",
    "fastmcp": "4.1.2",
    "starlette": "1.10.0",
    "python-multipart": "0.0.32",
    "PyJWT": "2.15.1",
    "Authlib": "1.6.11",
    "cryptography": "50.0.2",
    "h11": "0.16.0",
    "uvicorn": "0.54.0",
}


def found(installed: dict[str, str]) -> list[tuple[str, str, str]]:
    return [(one.name, one.installed, one.wanted) for one in versions.findings(installed)]


def test_current_versions_and_none_at_all_are_fine() -> None:
    assert versions.findings(CURRENT) == ()
    assert versions.findings({}) == ()


@pytest.mark.parametrize(
    ("name", "installed", "wanted"),
    [
        ("mcp", "1.29.1", ">=1.30"),
        ("mcp", "1.9", ">=1.30"),
        ("mcp", "2.1.4", ">=2.2"),
        ("fastmcp", "3.4.2", ">=3.4.3"),
        ("starlette", "1.3.0", ">=1.3.1"),
        ("python-multipart", "0.0.31", ">=0.0.32"),
        ("PyJWT", "2.14.9", ">=2.15"),
        ("Authlib", "1.6.10", ">=1.6.11"),
        ("cryptography", "46.0.6", ">=46.0.7"),
        ("h11", "0.15.0", ">=0.16"),
        ("uvicorn", "0.11.6", ">=0.11.7"),
    ],
)
def test_version_below_its_floor_is_found_with_what_is_wanted(name: str, installed: str, wanted: str) -> None:
    assert [(name, installed, wanted)] == found({name: installed})


@pytest.mark.parametrize(
    ("name", "installed"),
    [("mcp", "1.30"), ("mcp", "1.30.0"), ("mcp", "2.2.0"), ("mcp", "3.0"), ("h11", "0.16"), ("cryptography", "46.0.7")],
)
def test_version_at_its_floor_or_of_another_line_is_fine(name: str, installed: str) -> None:
    assert found({name: installed}) == []


def test_pre_release_of_a_floor_is_below_it_and_a_post_release_is_not() -> None:
    assert found({"mcp": "2.2.0rc1"}) == [("mcp", "2.2.0rc1", ">=2.2")]
    assert found({"mcp": "2.2.0.dev3"}) == [("mcp", "2.2.0.dev3", ">=2.2")]
    assert found({"mcp": "2.2.0.post1"}) == []
    assert found({"mcp": "2.2.0+local.1"}) == []


def test_names_count_without_regard_to_case_and_separator() -> None:
    assert found({"python_multipart": "0.0.9", "pyjwt": "2.0"}) == [
        ("python-multipart", "0.0.9", ">=0.0.32"),
        ("PyJWT", "2.0", ">=2.15"),
    ]


def test_version_that_cannot_be_read_is_passed_over() -> None:
    assert found({"mcp": "unknown"}) == []


def test_fastmcp_of_the_old_line_beside_the_new_sdk_is_broken_and_comes_first() -> None:
    """An installer picks fastmcp 2.14.1 beside mcp 2: it names no upper bound, and dies on import."""
    first, *_ = versions.findings({"mcp": "2.3.0", "fastmcp": "2.14.1", "h11": "0.14"})
    assert first == Finding(
        "fastmcp",
        "2.14.1",
        ">=4, or mcp<2",
        "fastmcp 2.14.1 is for mcp 1 and fails on import beside mcp 2.3.0; without an upper bound of its own, "
        "installers pick it",
    )
    assert versions.broken({"mcp": "1.30.0", "fastmcp": "3.4.3"}) == ()
