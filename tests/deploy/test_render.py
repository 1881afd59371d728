"""Rendered files in their place: whole or not at all, and never over what somebody else wrote."""

from pathlib import Path
from typing import Final

import pytest

from portside.deploy import render
from portside.deploy import spec as specs
from portside.errors import PortsideError
from portside.targets.dump import HEAD
from portside.targets.file import File
from tests.deploy.describing import GOOD, loaded


def states(written: tuple[render.Written, ...]) -> list[str]:
    """Return what became of each file."""
    return [one.state for one in written]


def test_files_are_new_then_the_same_then_changed(tmp_path: Path) -> None:
    first, second = File("a/b.yaml", f"# {HEAD}\n1\n"), File("a/b.yaml", f"# {HEAD}\n2\n")
    assert states(render.write([first], tmp_path)) == ["new"]
    assert states(render.write([first], tmp_path)) == ["same"]
    assert states(render.plan([second], tmp_path)) == ["changed"]
    assert (tmp_path / "a/b.yaml").read_text() == first.text
    assert states(render.write([second], tmp_path)) == ["changed"]
    assert (tmp_path / "a/b.yaml").read_text() == second.text
    assert [one.name for one in (tmp_path / "a").iterdir()] == ["b.yaml"]


def test_what_portside_did_not_make_is_left_alone_unless_forced(tmp_path: Path) -> None:
    mine = tmp_path / "Dockerfile"
    mine.write_text("FROM scratch\n")
    files = [File(".dockerignore", "x"), File("Dockerfile", f"# {HEAD}\n")]
    with pytest.raises(PortsideError, match="not made by portside"):
        render.write(files, tmp_path)
    assert mine.read_text() == "FROM scratch\n"
    assert not (tmp_path / ".dockerignore").exists()
    assert states(render.write(files, tmp_path, force=True)) == ["new", "changed"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "deploy").write_text("a file")
    with pytest.raises(PortsideError, match="deploy"):
        render.write([File("compose.yaml", "x")], tmp_path / "deploy")


@pytest.mark.parametrize("platform", render.PLATFORMS)
def test_every_file_says_that_portside_made_it(platform: str, tmp_path: Path) -> None:
    project = loaded(tmp_path)
    for file in render.PLATFORMS[platform].render(specs.spec(project, platform)):
        assert HEAD in file.text[:400] or file.path.endswith(".json")
    folder = render.folder(project.folder, platform)
    assert folder == (tmp_path if platform == "image" else tmp_path / "deploy")


CANARY: Final = "c4nary-0123456789-never-to-be-seen"


@pytest.mark.parametrize("platform", render.PLATFORMS)
def test_no_value_of_a_secret_appears_in_what_is_rendered(
    platform: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of whoever renders, nor of the project's files: renderers never hold one."""
    for name in ("JWT_SECRET", "ENCRYPTION_KEY", "WEATHER_KEY", "REDIS_PASSWORD", "PORTSIDE_DATABASE_URL"):
        monkeypatch.setenv(name, CANARY)
    (tmp_path / ".env").write_text(f"WEATHER_KEY={CANARY}\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "JWT_SECRET").write_text(CANARY)
    made = render.PLATFORMS[platform].render(specs.spec(loaded(tmp_path), platform))
    assert "".join(file.text for file in made).count(CANARY) == 0
    assert platform in ("image", "observability") or "JWT_SECRET" in "".join(file.text for file in made)


def test_a_file_that_holds_no_comment_is_ours_as_long_as_nobody_changes_it(tmp_path: Path) -> None:
    first, second = File("ecs/a.json", "1\n"), File("ecs/a.json", "2\n")
    assert states(render.write([first], tmp_path)) == ["new"]
    assert states(render.write([second], tmp_path)) == ["changed"]
    assert states(render.write([second], tmp_path)) == ["same"]
    (tmp_path / "ecs/a.json").write_text("mine\n")
    with pytest.raises(PortsideError, match="not made by portside"):
        render.write([first], tmp_path)
    assert states(render.write([first], tmp_path, force=True)) == ["changed"]
    assert states(render.write([second], tmp_path)) == ["changed"]


def test_a_file_is_still_ours_after_a_crash_between_remembering_and_writing_it(tmp_path: Path) -> None:
    first, second, third = (File("ecs/a.json", f"{number}\n") for number in (1, 2, 3))
    render.write([first], tmp_path)
    render.write([second], tmp_path)
    (tmp_path / "ecs/a.json").write_text(first.text)
    assert states(render.write([third], tmp_path)) == ["changed"]


@pytest.mark.parametrize("platform", render.PLATFORMS)
def test_rendering_another_description_replaces_every_file_without_force(platform: str, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    out = tmp_path / "out"
    for folder, text in (("one", GOOD), ("other", GOOD.replace("weather", "climate"))):
        project = loaded(tmp_path / folder, text)
        render.write(render.PLATFORMS[platform].render(specs.spec(project, platform)), out)
