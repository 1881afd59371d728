"""Whole descriptions by chance: every platform they are meant for takes its files, and none holds a secret."""

import base64
import json
import os
import secrets
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from portside.deploy import render, rules, validators
from portside.deploy import spec as specs
from portside.deploy.project import Project
from portside.targets.file import File, Finding
from portside.targets.spec import Spec
from tests.deploy.described import Described
from tests.deploy.descriptions import HOSTED, SHAPES, Shape, described
from tests.targets.validators import BATCH, QUICK, TOOLS, Ask, asking

Rendered = Mapping[str, Sequence[File]]
SLOW: Final = ("image", "compose", "kubernetes", "observability")
"""Whose validators are programs; cfn-lint takes seconds to start, and is asked about all templates at once."""


@pytest.fixture(scope="module")
def ask() -> Generator[Ask]:
    with asking() as ask:
        yield ask


@pytest.mark.parametrize("shape", SHAPES)
@QUICK
@given(st.data())
def test_every_file_of_any_description_is_one_its_platform_knows(ask: Ask, shape: Shape, data: st.DataObject) -> None:
    one = data.draw(described(shape))
    with TemporaryDirectory() as folder:
        made = rendered(one.written(Path(folder)), one.platforms)
    assert ask("kubernetes", texts(made, "kubernetes", but="kustomization.yaml")) == []
    assert ask("cloudrun", texts(made, "cloudrun")) == []
    assert ask("botocore", calls(made.get("ecs", ()))) == []
    assert ask("promql", expressions(made["observability"])) == []
    for file in made.get("compose", ()):
        assert not file.path.endswith(".yaml") or yaml.load(file.text, Loader=yaml.CSafeLoader)["services"]


@settings(QUICK, max_examples=90)
@given(described())
def test_no_secret_of_whoever_renders_or_of_the_project_is_in_any_file(one: Described) -> None:
    with TemporaryDirectory() as folder, knowing(Path(folder), one.secrets) as values:
        for files in rendered(one.written(Path(folder)), one.platforms).values():
            whole = "\n".join(file.text for file in files)
            assert [value for value in values if value in whole] == []
            assert [value for value in values if base64.b64encode(value.encode()).decode().rstrip("=") in whole] == []


@pytest.mark.timeout(110)
@BATCH
@given(st.tuples(described(), *(described(None, one) for one in HOSTED)))
def test_the_platforms_programs_have_nothing_to_say_about_ten_descriptions(
    ask: Ask, chosen: tuple[Described, ...]
) -> None:
    templates: list[str] = []
    asked: dict[str, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
        for one in chosen:
            with TemporaryDirectory() as folder:
                project = one.written(Path(folder))
                made = rendered(project, one.platforms)
                templates += [file.text for file in made.get("ecs", ()) if file.path.endswith("template.json")]
                for platform in (platform for platform in SLOW if platform in made):
                    name = said(platform, specs.spec(project, platform), made[platform])
                    asked |= {one: asked.get(one, 0) + 1 for one in name}
    assert ask("cloudformation", templates) == []
    assert {"hadolint", "promtool check config", "amtool check-config"} <= {
        name for name, count in asked.items() if count >= len(chosen)
    }


def said(platform: str, spec: Spec, files: Sequence[File]) -> list[str]:
    """Ask every program about a platform's files, none of which may say anything, and return their names.

    Skips the calling test where one is missing that could be there.
    """
    with TemporaryDirectory() as folder:
        opinions = validators.ask(platform, spec, files, Path(folder))
    findings: list[Finding] = [finding for opinion in opinions for finding in opinion.findings]
    assert findings == [], files
    for opinion in opinions:
        # kubectl comes in no package that could be installed here.
        if opinion.program is None and not opinion.name.startswith("kubectl"):
            pytest.skip(f"{opinion.name} is missing: run tests/install-tools and tests/install-servers")
    return [opinion.name for opinion in opinions if opinion.program is not None]


def rendered(project: Project, platforms: Iterable[str]) -> Rendered:
    """Return the files of every platform, on none of which the rules find an error."""
    made: dict[str, Sequence[File]] = {}
    for platform in platforms:
        errors = [found for found in rules.judge(project, platform) if found.severity == "error"]
        assert errors == [], platform
        made[platform] = render.PLATFORMS[platform].render(specs.spec(project, platform))
    return made


@contextmanager
def knowing(folder: Path, names: Iterable[str]) -> Generator[Sequence[str]]:
    """Give every secret a value wherever somebody may have it: environment, .env, secrets/, code and requirements."""
    values = {name: secrets.token_hex(16) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
            (folder / "secrets").mkdir(exist_ok=True)
            (folder / "secrets" / name).write_text(value)
        (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))
        (folder / ".env.example").write_text("".join(f"# {value}\n" for value in values.values()))
        yield list(values.values())


def texts(made: Rendered, platform: str, *, but: str = "\0") -> list[str]:
    """Return a platform's texts, without one file."""
    return [file.text for file in made.get(platform, ()) if not file.path.endswith(but)]


def calls(files: Iterable[File]) -> list[str]:
    """Return what AWS would be told, as the validator takes it."""
    named = {file.path.rpartition("/")[2].removesuffix(".json"): json.loads(file.text) for file in files}
    return [json.dumps({"file": name, "input": tree}) for name, tree in named.items() if name != "template"]


def expressions(files: Iterable[File]) -> Iterator[str]:
    """Yield every expression that Prometheus would evaluate."""
    for file in files:
        if file.path.endswith("rules.yml"):
            tree: Any = yaml.safe_load(file.text)
            yield from (rule["expr"] for group in tree["groups"] for rule in group["rules"])
        if file.path.endswith("dashboard.json"):
            yield from (target["expr"] for one in json.loads(file.text)["panels"] for target in one["targets"])
