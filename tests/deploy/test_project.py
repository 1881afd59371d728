"""portside.toml as a deployment reads it: every mistake is named with the path of its key, all at once."""

from pathlib import Path
from typing import Final

import pytest

from portside.deploy import project
from portside.errors import SettingsInvalid
from tests.deploy.describing import GOOD, changed, loaded, paths, project_in

IMAGE: Final = "image ="

MISTAKES: Final = {
    "an unknown key": (changed({"replicas": "replica = 3"}), "deploy.replica"),
    "an unknown table": (changed({}, "[deploy.resource]\ncpu_limit_m = 1"), "deploy.resource"),
    "an unknown key deeper down": (changed({}, "[deploy.scaling]\nmaximun = 3"), "deploy.scaling.maximun"),
    "an unknown setting": (changed({"target": 'targt = "server.py"'}), "serve.targt"),
    "text for a number": (changed({"replicas": 'replicas = "3"'}), "deploy.replicas"),
    "a switch for a number": (changed({"replicas": "replicas = true"}), "deploy.replicas"),
    "no replica": (changed({"replicas": "replicas = 0"}), "deploy.replicas"),
    "no image": (changed({IMAGE: ""}), "deploy.image"),
    "an image that is none": (changed({IMAGE: 'image = "Not An Image"'}), "deploy.image"),
    "a name that is none": (changed({"name": 'name = "Weather Server"'}), "deploy.name"),
    "a URL for a domain": (changed({"domains": 'domains = ["https://mcp.acme.io"]'}), "deploy.domains[0]"),
    "a domain with another line": (changed({"domains": 'domains = ["a.io;\\nb"]'}), "deploy.domains[0]"),
    "a state there is not": (changed({"state": 'state = "rediss"'}), "deploy.state"),
    "a secret that is none of portside's": (changed({"secrets": 'secrets = ["JWT_SECRT"]'}), "deploy.secrets[0]"),
    "a secret's value for its name": (changed({"secrets": 'secrets = ["not a name"]'}), "deploy.secrets[0]"),
    "a secret of portside's among the server's": (
        changed({"server_secrets": 'server_secrets = ["REDIS_PASSWORD"]'}),
        "deploy.server_secrets[0]",
    ),
    "a secret among the variables": (changed({"REGION": 'WEATHER_TOKEN = "abc"'}), "deploy.env.WEATHER_TOKEN"),
    "a secret by its look": (
        changed({"REGION": 'REGION = "ghp_012345678901234567890123456789"'}),
        "deploy.env.REGION",
    ),
    "a setting among the variables": (changed({"REGION": 'MCP_PORT = "80"'}), "deploy.env.MCP_PORT"),
    "a number among the variables": (changed({"REGION": "REGION = 3"}), "deploy.env.REGION"),
    "a variable that is a secret as well": (
        changed({"REGION": 'WEATHER_PLACE = "x"', "server_secrets": 'server_secrets = ["WEATHER_PLACE"]'}),
        "deploy.server_secrets",
    ),
    "a secret said twice": (changed({"secrets": 'secrets = ["JWT_SECRET", "JWT_SECRET"]'}), "deploy.secrets"),
    "a secret as a setting": (changed({"public_url": ""}, '[auth]\njwt_secret = "abc"'), "auth.jwt_secret"),
    "a wrong setting": (changed({}, "[limits]\nmax_body = 'much'"), "limits.max_body"),
    "a file outside the project": (changed({"requirements": 'requirements = "../r.txt"'}), "deploy.build.requirements"),
    "a package without a version": (changed({}, 'packages = ["mcp-server-time"]'), "deploy.build.packages[0]"),
    "a system package that is an option": (
        changed({}, 'system_packages = ["-o=x"]'),
        "deploy.build.system_packages[0]",
    ),
    "a wheel that is none": (changed({}, 'wheel = "dist/portside.tar.gz"'), "deploy.build.wheel"),
    "a volume of a taken name": (
        changed({}, '[[deploy.volumes]]\nname = "data"\npath = "/x"'),
        "deploy.volumes[0].name",
    ),
    "a volume without a path": (changed({}, '[[deploy.volumes]]\nname = "media"'), "deploy.volumes[0].path"),
    "a network that is none": (changed({}, '[deploy.compose]\nsubnet = "172.30.57.0/40"'), "deploy.compose.subnet"),
    "a public network": (changed({}, '[deploy.compose]\nsubnet = "8.8.8.0/24"'), "deploy.compose.subnet"),
    "one port for two things": (changed({}, "[deploy.compose]\nhttp_port = 443"), "deploy.compose"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_path(mistake: str, tmp_path: Path) -> None:
    text, path = MISTAKES[mistake]
    with pytest.raises(SettingsInvalid) as caught:
        project.load(project_in(tmp_path, text))
    assert [problem.name for problem in caught.value.problems] == [path]


def test_nothing_is_wrong_with_a_good_description(tmp_path: Path) -> None:
    assert paths(tmp_path, GOOD) == set()


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = changed(
        {"replicas": 'replicas = "3"', "target": 'targt = "x"', "name": 'nam = "x"'}, "[limits]\nmax_body = 'x'"
    )
    assert paths(tmp_path, text) == {"deploy.replicas", "serve.targt", "deploy.nam", "limits.max_body"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (changed({"replicas": "replica = 3"}), "deploy.replicas"),
        (changed({}, "[deploy.scaling]\nmaximun = 3"), "deploy.scaling.maximum"),
        (changed({"target": 'targt = "server.py"'}), "serve.target"),
        (changed({}, "[deploy.resource]\nx = 1"), "deploy.resources"),
        (changed({"requirements": 'requirments = "x"'}), "deploy.build.requirements"),
    ],
)
def test_a_near_miss_says_what_was_meant(written: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=f"did you mean {meant}\\?"):
        loaded(tmp_path, written)


def test_a_secret_that_was_written_down_is_not_repeated(tmp_path: Path) -> None:
    value = "ghp_012345678901234567890123456789"
    for text in (
        changed({"REGION": f'REGION = "{value}"'}),
        changed({"secrets": f'secrets = ["{value}"]'}),
        changed({}, f'[deploy.compose]\nsubnet = 3\n[auth]\njwt_secret = "{value}"'),
        changed({"server_secrets": f'server_secrets = "{value}"'}),
        changed({"image": f'image = "robot:{value}@registry.acme.io/weather:1.4.2"'}),
        changed({"image": f'image = "https://robot:{value}@registry.acme.io/weather:1.4.2"'}),
    ):
        with pytest.raises(SettingsInvalid) as caught:
            loaded(tmp_path, text)
        assert value not in str(caught.value)


@pytest.mark.parametrize("text", ["deploy = 3", "[serve]", "not toml", ""])
def test_a_file_that_describes_no_deployment_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid):
        loaded(tmp_path, text)
