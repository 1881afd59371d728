"""What is wrong is told at once: near misses, wrong values, what production refuses; other software is left alone."""

import traceback

import pytest

from portside.errors import Problem, SettingsInvalid
from portside.settings.model import TABLE
from portside.settings.problems import unknown_variables
from portside.settings.sources import load

KEY = bytes(range(32)).hex()


def found(environ: dict[str, str]) -> tuple[Problem, ...]:
    with pytest.raises(SettingsInvalid) as caught:
        load(environ)
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MCP_PROT", "MCP_PORT"),
        ("MCP_PROTS", "MCP_PORT"),
        ("MCP_EVN", "MCP_ENV"),
        ("MCP_LOG_LEVEL", "LOG_LEVEL"),
        ("MCP_PORT_FILE", "MCP_PORT"),
        ("mcp_port", "MCP_PORT"),
        ("MCPPORT", "MCP_PORT"),
        ("PORTSIDE_PORT", "MCP_PORT"),
        ("PORTSIDE_KEEPALVE_MS", "PORTSIDE_KEEPALIVE_MS"),
        ("PORTSIDE_MAX_BODY", "PORTSIDE_MAX_BODY_BYTES"),
        ("PORSTIDE_TARGET", "PORTSIDE_TARGET"),
        ("JWT_SECERT", "JWT_SECRET"),
        ("ENCRYPTION_KEYS", "ENCRYPTION_KEY"),
        ("ENCRYPTION_KEY_FIEL", "ENCRYPTION_KEY_FILE"),
        ("METRICS_ENABLE", "METRICS_ENABLED"),
        ("LOG_LEVLE", "LOG_LEVEL"),
    ],
)
def test_a_near_miss_is_told_with_what_was_meant(name: str, meant: str) -> None:
    assert unknown_variables([name]) == [Problem(name, f"no such setting; did you mean {meant}?", "environment")]


@pytest.mark.parametrize(
    "name",
    [
        "MCP_CONFORMANCE_SCENARIO", "MCP_USE_ANONYMIZED_TELEMETRY", "MCP_PROXY_AUTH_TOKEN", "MCP_AUTO_OPEN_ENABLED",
        "MCP_PATH", "HOST", "PORT", "SERVER_IP", "SSL_CERT_FILE", "SSL_CERT_DIR", "DATABASE_URI", "REDIS_URI",
        "DATABASE_URL_2", "LOG_DIR", "DATA_DIR", "PATH", "HOSTNAME", "SECRET_KEY", "JWT_ISSUER", "port",
    ],
)  # fmt: skip
def test_variables_of_other_software_are_left_alone(name: str) -> None:
    assert unknown_variables([name]) == []


def test_every_name_under_our_own_prefix_must_be_known() -> None:
    (problem,) = unknown_variables(["PORTSIDE_QUANTUM"])
    assert problem.message == "no such setting; see `portside settings document`"


def test_every_known_name_is_accepted() -> None:
    assert unknown_variables([entry.name for entry in TABLE.values()]) == []
    assert unknown_variables(["ENCRYPTION_KEY_FILE", "DATABASE_URL", "REDIS_URL", "REDIS_PASSWORD"]) == []


def test_all_problems_of_all_kinds_are_told_at_once() -> None:
    problems = found(
        {
            "MCP_PROT": "1",
            "LOG_LEVEL": "loud",
            "MCP_PORT": "70000",
            "MCP_HOST": "0.0.0.0",
            "ENCRYPTION_KEY": "hunter2",
            "PORTSIDE_ALLOWED_ORIGINS": "*",
        }
    )
    assert [problem.name for problem in problems] == [
        "MCP_PROT", "MCP_PORT='70000'", "LOG_LEVEL='loud'", "ENCRYPTION_KEY", "MCP_HOST='0.0.0.0'",
        "PORTSIDE_ALLOWED_ORIGINS='*'",
    ]  # fmt: skip
    assert all(problem.origin for problem in problems)


def test_redis_url_is_where_state_is_shared_unless_that_has_a_place_of_its_own() -> None:
    key = bytes(range(32)).hex()
    theirs = load({"REDIS_URL": "redis://:hunter2@cache/0", "ENCRYPTION_KEY": key})
    assert theirs.origins["redis_url"] == "environment REDIS_URL"
    assert "hunter2" not in repr(theirs.settings)
    ours = load({"REDIS_URL": "redis://cache", "PORTSIDE_REDIS_URL": "redis://own", "ENCRYPTION_KEY": key}).settings
    assert ours.redis_url is not None
    assert ours.redis_url.reveal() == b"redis://own"


def test_state_is_shared_only_under_a_key() -> None:
    (problem,) = found({"REDIS_URL": "redis://cache"})
    assert (problem.name, problem.message) == ("PORTSIDE_REDIS_URL", "needs ENCRYPTION_KEY")
    assert problem.origin == "environment REDIS_URL"


def test_database_url_is_where_our_records_are_unless_they_have_a_place_of_their_own() -> None:
    theirs = load({"DATABASE_URL": "postgres://u:hunter2@db/x"})
    assert theirs.origins["database_url"] == "environment DATABASE_URL"
    assert "hunter2" not in repr(theirs.settings)
    ours = load({"DATABASE_URL": "postgres://u:hunter2@db/x", "PORTSIDE_DATABASE_URL": "sqlite:////r.db"}).settings
    assert ours.database_url is not None
    assert ours.database_url.reveal() == b"sqlite:////r.db"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "mcp.example.com"])
def test_production_refuses_to_be_reached_from_outside_without_authentication(host: str) -> None:
    (problem,) = found({"MCP_HOST": host})
    assert problem.name == f"MCP_HOST={host!r}"
    assert "PORTSIDE_ALLOW_ANONYMOUS=true" in problem.message
    assert "MCP_ENV=development" in problem.message
    assert load({"MCP_HOST": host, "PORTSIDE_ALLOW_ANONYMOUS": "true"}).settings.host == host
    assert load({"MCP_HOST": host, "MCP_ENV": "development"}).settings.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.8.8"])
def test_production_listens_on_this_machine_without_more_ado(host: str) -> None:
    assert load({"MCP_HOST": host}).settings.host == host


@pytest.mark.parametrize("networks", ["*", "0.0.0.0/0", "10.0.0.0/8,::/0"])
def test_production_refuses_to_trust_every_proxy(networks: str) -> None:
    (problem,) = found({"PORTSIDE_TRUSTED_PROXIES": networks})
    assert problem.name.startswith("PORTSIDE_TRUSTED_PROXIES=")
    assert problem.origin == "environment PORTSIDE_TRUSTED_PROXIES"


def test_what_rests_on_a_wrong_value_is_not_judged() -> None:
    assert [one.name for one in found({"MCP_ENV": "developement", "MCP_HOST": "0.0.0.0"})] == ["MCP_ENV='developement'"]
    doubted = found({"PORTSIDE_ALLOW_ANONYMOUS": "treu", "MCP_HOST": "0.0.0.0"})
    assert [one.name for one in doubted] == ["PORTSIDE_ALLOW_ANONYMOUS='treu'"]


def test_a_password_in_a_url_is_not_told() -> None:
    (problem,) = found({"PORTSIDE_PUBLIC_URL": "https://user:hunter2@mcp.example.com"})
    assert problem.name == "PORTSIDE_PUBLIC_URL='https://********@mcp.example.com'"


def test_a_refused_secret_appears_in_no_text_of_the_error() -> None:
    wrong = {"ENCRYPTION_KEY": f"a:{KEY},b:hunter2", "JWT_SECRET": "hunter2", "JWT_SECERT": "hunter2"}
    with pytest.raises(SettingsInvalid) as caught:
        load(wrong)
    for text in (str(caught.value), repr(caught.value), "".join(traceback.format_exception(caught.value))):
        assert "hunter2" not in text
        assert KEY not in text
