"""What is wrong with a deployment as a whole, found by rules, each finding with the path of its key."""

from pathlib import Path
from typing import Final

import pytest

from portside.deploy import render, rules
from portside.deploy import spec as specs
from portside.targets.spec import FromSecret, NodeServer, Plain, UpstreamServer
from tests.deploy.describing import GOOD, changed, loaded, paths

STDIO: Final = {"target": 'target = "stdio:mcp-server-time"', "requirements": ""}

MISTAKES: Final = {
    "nothing to serve": ("compose", changed({"target": ""}), "serve.target"),
    "a target outside the project": ("compose", changed({"target": 'target = "/srv/server.py"'}), "serve.target"),
    "a target that is not there": ("compose", changed({"target": 'target = "main.py"'}), "serve.target"),
    "requirements that are not there": (
        "image",
        changed({"requirements": 'requirements = "r.txt"'}),
        "deploy.build.requirements",
    ),
    "a launcher that downloads": (
        "image",
        changed(STDIO | {"target": 'target = "stdio:npx -y @scope/server"'}),
        "serve.target",
    ),
    "a command nothing installs": ("image", changed(STDIO), "deploy.build.packages"),
    "a secret among a command's words": (
        "image",
        changed(
            STDIO | {"target": 'target = "stdio:serve --token sk-0123456789abcdefghij"'}, 'packages = ["serve==1"]'
        ),
        "serve.target",
    ),
    "an upstream with a query": (
        "image",
        changed({"target": 'target = "https://api.acme.io/mcp?key=abc"'}),
        "serve.target",
    ),
    "the latest image": ("image", changed({"image": 'image = "weather:latest"'}), "deploy.image"),
    "an image without a tag": ("image", changed({"image": 'image = "weather"'}), "deploy.image"),
    "the latest Python": ("image", changed({}, 'base = "python"'), "deploy.build.base"),
    "the latest Redis": ("compose", changed({}, '[deploy.compose]\nredis = "redis:latest"'), "deploy.compose.redis"),
    "memory of one of several": ("compose", changed({"state": 'state = "memory"'}), "deploy.state"),
    "SQLite on several machines": ("kubernetes", changed({"records": 'records = "sqlite"'}), "deploy.records"),
    "a volume of one of several": (
        "kubernetes",
        changed({}, '[[deploy.volumes]]\nname = "media"\npath = "/media"'),
        "deploy.volumes[0].shared",
    ),
    "audit files on several machines": ("kubernetes", changed({}, '[audit]\nkeep_in = "file"'), "audit.keep_in"),
    "bounds the wrong way round": (
        "kubernetes",
        changed({}, "[deploy.scaling]\nminimum = 9\nmaximum = 3"),
        "deploy.scaling.minimum",
    ),
    "a number out of bounds": ("kubernetes", changed({}, "[deploy.scaling]\nminimum = 4"), "deploy.replicas"),
    "a target that is never reached": (
        "kubernetes",
        changed({}, "[deploy.scaling]\ncpu_percent = 99"),
        "deploy.scaling.cpu_percent",
    ),
    "scaling where nobody scales": ("compose", changed({}, "[deploy.scaling]"), "deploy.scaling"),
    "a promise above the limit": (
        "compose",
        changed({}, "[deploy.resources]\nmemory_request_mib = 600"),
        "deploy.resources.memory_request_mib",
    ),
    "a limit nothing fits into": (
        "compose",
        changed({}, "[deploy.resources]\nmemory_request_mib = 64\nmemory_limit_mib = 64"),
        "deploy.resources.memory_limit_mib",
    ),
    "no domain": ("compose", changed({"domains": "domains = []"}), "deploy.domains"),
    "a domain of examples": (
        "compose",
        changed({"domains": 'domains = ["mcp.acme.io", "mcp.example.com"]'}),
        "deploy.domains[1]",
    ),
    "another public host": (
        "compose",
        changed({"public_url": 'public_url = "https://mcp.other.io"'}),
        "serve.public_url",
    ),
    "tokens in the clear": (
        "compose",
        changed({"public_url": 'public_url = "http://mcp.acme.io"'}),
        "serve.public_url",
    ),
    "an issuer on Compose": ("compose", changed({"state": 'state = "redis"\ntls = "issuer"'}), "deploy.tls"),
    "a certificate of this machine": (
        "compose",
        changed({}, '[tls]\ncert_path = "a"\nkey_path = "b"'),
        "tls.cert_path",
    ),
    "an interpreter of this machine": (
        "compose",
        changed({}, '[hosting]\npython = "/usr/bin/python3"'),
        "hosting.python",
    ),
    "proxies said by hand": ("compose", changed({}, '[proxy]\ntrusted = ["10.0.0.1"]'), "proxy.trusted"),
    "a port of root's": ("compose", changed({"public_url": "port = 80"}), "serve.port"),
    "nobody to ask": ("compose", changed({}, "[observe]\nhealth = false"), "observe.health"),
    "calls that are killed": ("ecs", changed({"public_url": "drain_timeout_ms = 110000"}), "serve.drain_timeout_ms"),
    "calls that Cloud Run kills": ("cloudrun", GOOD, "serve.drain_timeout_ms"),
    "silence that is cut": ("compose", changed({}, "[streams]\nkeepalive_ms = 90000"), "streams.keepalive_ms"),
    "children that are killed": (
        "compose",
        changed(STDIO, 'packages = ["mcp-server-time==1"]\n[stdio]\nstop_ms = 20000'),
        "stdio.stop_ms",
    ),
    "nobody is authenticated": ("compose", changed({"secrets": 'secrets = ["ENCRYPTION_KEY"]'}), "deploy.secrets"),
    "half an introspection": (
        "compose",
        changed({}, '[auth]\nintrospection_url = "https://login.acme.io/i"'),
        "auth.introspection_url",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_where_it_was_made(mistake: str, tmp_path: Path) -> None:
    platform, text, path = MISTAKES[mistake]
    assert path in paths(tmp_path, text, [platform])


@pytest.mark.parametrize("platform", ["image", "compose"])
def test_nothing_is_wrong_with_a_good_description(platform: str, tmp_path: Path) -> None:
    assert rules.judge(loaded(tmp_path), platform) == ()


def test_what_a_platforms_own_module_finds_is_told_by_the_key_it_came_from(tmp_path: Path) -> None:
    outside = changed({"records": 'records = "postgres"\npostgres_outside = true'})
    assert rules.judge(loaded(tmp_path, outside), "kubernetes") == ()
    missing = {"deploy.redis_outside", "deploy.ecs.account", "deploy.ecs.subnets", "deploy.ecs.target_group"}
    assert missing == paths(tmp_path, outside, ["ecs"])
    assert "serve.drain_timeout_ms" in paths(tmp_path, outside, ["cloudrun"])


def test_what_is_one_machines_may_be_shared_on_it(tmp_path: Path) -> None:
    assert rules.judge(loaded(tmp_path, changed({"records": 'records = "sqlite"'})), "compose") == ()


def test_a_spec_has_names_of_secrets_and_settings_as_variables(tmp_path: Path) -> None:
    made = specs.spec(
        loaded(tmp_path, changed({}, '[rate]\ntools = ["a=3", "b=4"]\n[audit]\nkeep_in = "database"')), "compose"
    )
    assert made.environment == (
        Plain("PORTSIDE_PUBLIC_URL", "https://mcp.acme.io"),
        Plain("PORTSIDE_TOOL_LIMITS", "a=3,b=4"),
        Plain("PORTSIDE_AUDIT", "database"),
        Plain("REGION", "eu"),
        FromSecret("ENCRYPTION_KEY"),
        FromSecret("JWT_SECRET"),
        FromSecret("WEATHER_KEY", by_file=False),
        FromSecret("AUDIT_KEY", variable="PORTSIDE_AUDIT_KEY_PATH"),
    )
    assert made.build.extras == ("postgres", "redis")


def test_a_child_is_given_the_servers_variables_by_name(tmp_path: Path) -> None:
    made = specs.spec(loaded(tmp_path, changed(STDIO, 'node_package = "time@1.0.0"\n[stdio]\nenv = ["TZ"]')), "compose")
    assert made.server == NodeServer("mcp-server-time", "time@1.0.0")
    assert made.plain["PORTSIDE_STDIO_ENV"] == "TZ,REGION,WEATHER_KEY"


def test_times_and_sizes_of_the_settings_are_those_of_the_proxy(tmp_path: Path) -> None:
    text = changed({"public_url": "drain_timeout_ms = 40500"}, '[limits]\nmax_body = "8MiB"\nheader_timeout_ms = 2500')
    made = specs.spec(loaded(tmp_path, text), "compose")
    assert (made.drain_s, made.stop_s) == (41, 56)
    assert (made.limits.max_body_bytes, made.limits.header_timeout_s) == (8 * 1024**2, 3)
    assert "client_max_body_size 8388608;" in "".join(
        file.text
        for file in render.PLATFORMS["compose"].render(
            specs.spec(loaded(tmp_path, text.replace("= 3\n", "= 1\n")), "compose")
        )
    )


def test_an_upstream_is_served_as_it_is(tmp_path: Path) -> None:
    made = specs.spec(loaded(tmp_path, changed({"target": 'target = "https://api.acme.io/mcp"'})), "compose")
    assert made.server == UpstreamServer("https://api.acme.io/mcp")
