"""Any project that can be deployed, by chance: what goes together goes together, the rest may be anything."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from hypothesis import strategies as st

from tests.deploy.described import Described, Tree

CLUSTERS: Final = ("kubernetes", "ecs", "cloudrun")

_LABELS: Final = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_IMAGES: Final = st.builds("registry.acme.io/{}:1.0.{}".format, _LABELS, st.integers(0, 99))
_PLAIN: Final = st.from_regex(r"APP_[A-Z]{1,12}_PLACE", fullmatch=True)
_SECRET: Final = st.from_regex(r"APP_[A-Z]{1,12}_TOKEN", fullmatch=True)
_SIGNS: Final = string.ascii_letters + string.digits + " äλ$%{}#'\"\\`;,:=&|<>()[]!?*~^@/."
_TEXTS: Final = st.text(_SIGNS, max_size=30)
_PORTS: Final = st.integers(1024, 65_535).filter(lambda port: port != 8404)
_HEX: Final = st.text("0123456789abcdef", min_size=17, max_size=17)


def _table(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Tree]:
    """Return a table with any of these keys, each of which may as well not be there."""
    return st.fixed_dictionaries({}, optional=keys)


_SETTINGS: Final[st.SearchStrategy[Tree]] = _table(
    hosting=_table(
        sync_tools=st.sampled_from(["thread", "loop"]),
        dispatch=st.sampled_from(["compiled", "tool", "kernel"]),
        start_timeout_ms=st.integers(1, 180_000),
        call_timeout_ms=st.integers(1, 3_600_000),
        max_result=st.sampled_from(["1MiB", 65_536]),
    ),
    limits=_table(
        max_body=st.sampled_from(["4MiB", "64MiB", 1]),
        header_timeout_ms=st.integers(1, 60_000),
        body_timeout_ms=st.integers(1, 600_000),
        send_timeout_ms=st.integers(1, 600_000),
        max_in_flight=st.integers(1, 5000),
    ),
    proxy=_table(
        allowed_hosts=st.just(["mcp.acme.io", "mcp.acme.io:8443"]),
        allowed_origins=st.just(["https://app.acme.io"]),
    ),
    streams=_table(sse_after_ms=st.integers(1, 59_999), keepalive_ms=st.integers(1, 59_999)),
    sessions=_table(idle_ms=st.integers(1000, 86_400_000), max=st.integers(1, 10_000)),
    observe=_table(log_level=st.sampled_from(["debug", "info", "error"]), request_log=st.booleans()),
    rate=_table(
        window_ms=st.integers(1000, 600_000),
        max_requests=st.integers(0, 100_000),
        tools=st.just(["search=10", "add=5"]),
    ),
    auth=_table(api_keys=st.booleans(), metrics_open=st.booleans()),
)


@dataclass(frozen=True, slots=True)
class Hosted:
    """A kind of server: its target, what `[deploy.build]` says, and the files that takes."""

    target: str
    build: Tree
    files: tuple[str, ...]


HOSTED: Final = (
    Hosted("server.py:mcp", {"requirements": "requirements.txt"}, ("server.py", "requirements.txt")),
    Hosted("server.py", {"requirements": "requirements/run.txt"}, ("server.py", "requirements/run.txt")),
    Hosted("weather.server:mcp", {"requirements": "pyproject.toml", "installer": "uv"}, ("pyproject.toml", "uv.lock")),
    Hosted("weather.server:mcp", {"requirements": "pyproject.toml"}, ("pyproject.toml",)),
    Hosted("stdio:mcp-server-time --local-timezone UTC", {"packages": ["mcp-server-time==2026.1.1"]}, ()),
    Hosted('stdio:weather --greeting "a b"', {"requirements": "pyproject.toml", "copies": True}, ("pyproject.toml",)),
    Hosted("stdio:node dist/index.js", {"node": True}, ("package.json", "package-lock.json")),
    Hosted("stdio:mcp-server-everything stdio", {"node_package": "@acme/server-everything@1.0.0"}, ()),
    Hosted("https://api.acme.io:8443/mcp", {}, ()),
)


Shape = Literal["one replica", "several", "scaled"]

SHAPES: Final[Sequence[Shape]] = ("one replica", "several", "scaled")


@st.composite
def described(draw: st.DrawFn, shape: Shape | None = None, hosted: Hosted | None = None) -> Described:
    """Return any project that can be: what goes together goes together, everything else is by chance."""
    shape = shape or draw(st.sampled_from(SHAPES))
    hosted = hosted or draw(st.sampled_from(HOSTED))
    platforms = draw(st.lists(st.sampled_from(("compose", *CLUSTERS)), min_size=1, unique=True))
    is_spread = any(one in CLUSTERS for one in platforms)
    is_alone = shape == "one replica"
    state = draw(st.sampled_from(["memory", "redis"])) if is_alone else "redis"
    must_be_postgres = shape == "scaled" or (shape == "several" and is_spread)
    records = "postgres" if must_be_postgres else draw(st.sampled_from(["sqlite", "postgres"]))
    replicas = 1 if is_alone else draw(st.integers(2, 5))
    scaling = draw(_scaling(replicas)) if shape == "scaled" else None
    # Cloud Run scales by itself where state is shared.
    if "cloudrun" in platforms and state == "redis" and records == "sqlite":
        records = "postgres"
    names = draw(st.lists(_SECRET, max_size=3, unique=True))
    ours = ["JWT_SECRET", *(["ENCRYPTION_KEY"] if draw(st.booleans()) else [])]
    settings = draw(_SETTINGS)
    audit = draw(st.sampled_from(["off", "database", "file"] if is_alone else ["off", "database"]))
    if audit != "off":
        settings["audit"] = {"keep_in": audit, "arguments": draw(st.sampled_from(["none", "redacted"]))}
    serve: Tree = {"target": hosted.target, "public_url": "https://mcp.acme.io", "port": draw(_PORTS)}
    serve |= draw(_table(drain_timeout_ms=st.integers(1, 105_000)))
    deploy: Tree = {
        "image": draw(_IMAGES),
        "name": draw(_LABELS),
        "platforms": ["image", *platforms],
        "replicas": replicas,
        "domains": ["mcp.acme.io", *draw(st.lists(st.builds("{}.acme.io".format, _LABELS), max_size=2, unique=True))],
        "tls": draw(
            st.sampled_from(["files", "outside"] if "compose" in platforms else ["files", "issuer", "outside"])
        ),
        "state": state,
        "redis_outside": state == "redis" and draw(st.booleans()),
        "records": records,
        "postgres_outside": records == "postgres" and draw(st.booleans()),
        "secrets": ours,
        "server_secrets": names,
        "env": draw(st.dictionaries(_PLAIN, _TEXTS, max_size=4)),
        "data_gib": draw(st.integers(1, 100)),
        "build": {
            **hosted.build,
            **draw(_table(system_packages=st.just(["libpq5"]), base=st.just("python:3.13-slim"))),
        },
        "resources": draw(_table(memory_limit_mib=st.integers(256, 8192), cpu_limit_m=st.integers(250, 8000))),
        "compose": draw(_table(http_port=st.just(8080), https_port=st.just(8443), subnet=st.just("10.77.0.0/24"))),
        "kubernetes": draw(_kubernetes()),
        "ecs": draw(_ecs()),
        "cloud_run": draw(_cloud_run()),
    }
    deploy["domains"] = list(dict.fromkeys(deploy["domains"]))
    if scaling is not None:
        deploy["scaling"] = scaling
    if not {"ecs", "cloudrun"} & set(platforms):
        deploy["volumes"] = draw(_volumes(is_shared=not is_alone))
    tree = {**settings, "serve": serve, "deploy": deploy}
    files = {name: "{}" if name.endswith(".json") else "" for name in hosted.files}
    return Described(tree, ["image", *platforms, "observability"], files, [*ours, *names, *_STORES])


_STORES: Final = ("REDIS_PASSWORD", "PORTSIDE_REDIS_URL", "PORTSIDE_DATABASE_URL", "POSTGRES_PASSWORD", "AUDIT_KEY")


def _scaling(replicas: int) -> st.SearchStrategy[Tree]:
    return st.fixed_dictionaries(
        {"minimum": st.integers(1, replicas), "maximum": st.integers(replicas, 50)},
        optional={
            "cpu_percent": st.integers(10, 95),
            "memory_percent": st.integers(10, 95),
            "up_cooldown_s": st.integers(0, 3600),
            "down_cooldown_s": st.integers(0, 3600),
        },
    )


def _volumes(*, is_shared: bool) -> st.SearchStrategy[list[Tree]]:
    reserved = {"data", "logs", "redis", "postgres", "certs", "tls", "secrets", "tmp"}
    names = st.lists(_LABELS.filter(lambda name: name not in reserved), min_size=1, max_size=2, unique=True)
    return names.map(
        lambda chosen: [{"name": name, "path": f"/srv/{name}", "size_gib": 2, "shared": is_shared} for name in chosen]
    )


def _kubernetes() -> st.SearchStrategy[Tree]:
    return _table(
        namespace=_LABELS,
        ingress_class=st.sampled_from(["nginx", "traefik"]),
        issuer=_LABELS,
        storage_class=_LABELS,
        ingress_addresses=st.just(["10.244.0.0/16", "fd00::/8"]),
        paths=st.just(["/mcp", "/.well-known", "/hooks"]),
        egress_ports=st.lists(st.integers(1, 65_535), max_size=3),
        scales_on_calls=st.booleans(),
    )


def _ecs() -> st.SearchStrategy[Tree]:
    return st.fixed_dictionaries(
        {
            "subnets": st.lists(_HEX.map("subnet-{}".format), min_size=1, max_size=3, unique=True),
            "security_groups": st.lists(_HEX.map("sg-{}".format), min_size=1, max_size=2, unique=True),
            "file_system": _HEX.map("fs-{}".format),
        },
        optional={
            "region": st.sampled_from(["us-east-1", "eu-central-1", "ap-southeast-2"]),
            "account": st.text(string.digits, min_size=12, max_size=12),
            "cluster": _LABELS,
            "execution_role": st.just("arn:aws:iam::210987654321:role/starting"),
            "task_role": st.just("arn:aws:iam::210987654321:role/service-role/running"),
            "target_group": _HEX.map("arn:aws:elasticloadbalancing:us-east-1:210987654321:targetgroup/mcp/{}".format),
            "secret": st.just("acme/weather"),
        },
    )


def _cloud_run() -> st.SearchStrategy[Tree]:
    return _table(
        region=st.sampled_from(["us-central1", "europe-west10"]),
        project=st.just("acme-weather"),
        cpu=st.sampled_from([1, 2]),
        memory_mib=st.integers(512, 4096),
        vpc_connector=_LABELS,
        secret_version=st.integers(1, 99),
        service_account=st.just("running@acme-weather.iam.gserviceaccount.com"),
    )
