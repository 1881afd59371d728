"""`portside deploy` and `portside init` as people run them, in a project of their own."""

import json
import os
import shutil
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from portside.deploy import check, description
from tests.cli.commands import run
from tests.deploy.describing import GOOD, changed, loaded, project_in
from tests.deploy.test_platform_rules import CLOUD
from tests.targets.validators import TOOLS


def test_rendering_writes_what_it_says_and_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    project_in(tmp_path)
    dry = run("deploy", "render", "compose", "--dry-run", cwd=tmp_path)
    assert (dry.returncode, dry.stdout.split()[:3]) == (0, ["would", "be", "new"])
    assert not (tmp_path / "deploy").exists()
    done = run("deploy", "render", "compose", "--out", "there", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(one.name for one in (tmp_path / "there" / "compose").iterdir()) == ["compose.yaml", "haproxy.cfg"]
    assert run("deploy", "render", "image", cwd=tmp_path).returncode == 0
    assert (tmp_path / "Dockerfile").is_file()


def test_nothing_is_rendered_that_would_not_work(tmp_path: Path) -> None:
    project_in(tmp_path, changed({"state": 'state = "memory"'}))
    done = run("deploy", "render", "compose", cwd=tmp_path)
    assert done.returncode == 5
    assert "deploy.state" in done.stderr
    assert not (tmp_path / "deploy").exists()


def test_a_check_says_who_was_asked_and_who_is_absent(tmp_path: Path) -> None:
    project_in(tmp_path)
    done = run("deploy", "check", "--json", cwd=tmp_path)
    reports = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert [one["platform"] for one in reports] == ["image", "compose"]
    asked = {name for one in reports for name in one["ran"]}
    absent = {name for one in reports for name in one["absent"]}
    assert asked | absent == {"hadolint", "docker compose config", "haproxy -c"}
    assert not asked & absent


def test_a_check_that_finds_errors_ends_with_5_and_asks_nobody(tmp_path: Path) -> None:
    project_in(tmp_path, changed({"image": 'image = "weather:latest"'}))
    done = run("deploy", "check", "compose", cwd=tmp_path)
    assert done.returncode == 5
    assert "error  deploy.image" in done.stdout
    assert "no validator was asked" in done.stdout


def test_a_validators_refusal_is_an_error(tmp_path: Path) -> None:
    project_in(tmp_path)
    refusing = tmp_path / "bin" / "hadolint"
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\necho line 3 is wrong\nexit 1\n")
    refusing.chmod(refusing.stat().st_mode | stat.S_IXUSR)
    path = f"{refusing.parent}:{os.environ['PATH']}"
    done = run("deploy", "check", "image", cwd=tmp_path, PATH=path)
    assert done.returncode == 5
    assert "error  Dockerfile: hadolint: line 3 is wrong" in done.stdout
    assert "ran      hadolint" in done.stdout


@pytest.mark.parametrize(
    ("platform", "programs"),
    [
        ("image", {"hadolint"}),
        ("compose", {"docker compose config", "haproxy -c"}),
        ("kubernetes", {"kubectl kustomize"}),
        ("ecs", {"cfn-lint"}),
        ("cloudrun", set[str]()),
        ("observability", {"promtool check config", "amtool check-config"}),
    ],
)
def test_each_platforms_own_programs_are_asked_where_they_are(
    platform: str, programs: set[str], tmp_path: Path
) -> None:
    project_in(tmp_path, CLOUD)
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    done = run("deploy", "check", platform, "--json", cwd=tmp_path, PATH=path)
    (report,) = json.loads(done.stdout)
    assert (done.returncode, report["findings"]) == (0, [])
    assert {*report["ran"], *report["absent"]} == programs
    # kubectl comes in no package that could be installed here.
    if missing := [name for name in report["absent"] if not name.startswith("kubectl")]:
        pytest.skip(f"{', '.join(missing)} missing: run tests/install-tools and tests/install-servers")


def test_what_watches_a_deployment_is_rendered_like_a_platform(tmp_path: Path) -> None:
    project_in(tmp_path)
    done = run("deploy", "render", "observability", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    made = {one.name for one in (tmp_path / "deploy" / "observability").iterdir()}
    assert {"prometheus.yml", "rules.yml", "alertmanager.yml", "dashboard.json"} <= made


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("tls", ["files", "outside"])
def test_the_proxy_accepts_its_configuration(replicas: int, tls: str, tmp_path: Path) -> None:
    name = "nginx -t" if replicas == 1 else "haproxy -c"
    path = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"
    if shutil.which(name.partition(" ")[0], path=path) is None:
        pytest.skip(f"{name.partition(' ')[0]} is missing: run tests/install-servers")
    text = changed({"replicas": f"replicas = {replicas}", "name": f'name = "w"\ntls = "{tls}"'})
    (report,) = check.check(loaded(tmp_path, text), ["compose"])
    assert report.findings == ()
    assert name in report.ran


def test_a_description_that_is_wrong_ends_with_4(tmp_path: Path) -> None:
    project_in(tmp_path, changed({"replicas": "replica = 3", "image": ""}))
    done = run("deploy", "check", cwd=tmp_path)
    assert done.returncode == 4
    assert "deploy.replica: no such key; did you mean deploy.replicas?" in done.stderr
    assert "deploy.image: is missing" in done.stderr


def test_without_a_description_a_command_says_how_to_begin(tmp_path: Path) -> None:
    done = run("deploy", "check", cwd=tmp_path)
    assert done.returncode == 4
    assert "portside.toml" in done.stderr


def test_the_schema_takes_what_is_right_and_refuses_unknown_keys() -> None:
    schema: Any = description.schema()
    validator = Draft202012Validator(schema)
    assert validator.is_valid(tomllib.loads(GOOD))
    assert not validator.is_valid(tomllib.loads(changed({"replicas": "replica = 3"})))
    assert not validator.is_valid(tomllib.loads(changed({}, "[deploy.scaling]\nmaximun = 3")))
    assert not validator.is_valid(tomllib.loads(changed({"target": 'targt = "x"'})))
