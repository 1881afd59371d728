"""Deployments that renderers are tested with: two by hand, and any number by chance."""

from dataclasses import replace
from typing import Final

from hypothesis import strategies as st

from portside.targets.spec import (
    Build,
    FromSecret,
    Limits,
    Plain,
    PythonServer,
    Resources,
    Scaling,
    Spec,
    Tls,
    UpstreamServer,
    Volume,
)

SMALL: Final = Spec(
    name="notebook",
    image="registry.example.com/notebook:1.4.2",
    server=PythonServer("server.py", "requirements.txt"),
    build=Build("0.1.0"),
    environment=(Plain("LOG_LEVEL", "info"), FromSecret("JWT_SECRET")),
    volumes=(Volume("data", "/app/data"),),
)
"""One replica that keeps everything to itself."""

LARGE: Final = replace(
    SMALL,
    replicas=3,
    environment=(
        Plain("LOG_LEVEL", "info"),
        Plain("NOTEBOOK_TITLE", 'Ours: "all" of it, $HOME #1'),
        FromSecret("JWT_SECRET"),
        FromSecret("ENCRYPTION_KEY"),
        FromSecret("WEATHER_TOKEN", by_file=False),
    ),
    domains=("mcp.example.com", "notebook.example.com"),
    tls=Tls("issuer"),
    state="redis",
    records="postgres",
    postgres_outside=True,
    volumes=(Volume("data", "/app/data", 5, shared=True),),
    scaling=Scaling(),
)
"""All there is."""

_LABELS: Final = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
_NAMES: Final = st.from_regex(r"APP_[A-Z0-9_]{1,20}", fullmatch=True)
_VALUES: Final = st.text(st.characters(codec="utf-8"), max_size=30).filter(str.isprintable)
_DOMAINS: Final = st.builds("{}.example.com".format, _LABELS)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Return any deployment that can be: what goes together goes together, everything else is by chance."""
    scaling = draw(st.none() | st.builds(Scaling, st.integers(1, 3), st.integers(3, 20)))
    replicas = 1 if draw(st.booleans()) else draw(st.integers(1, 5))
    only_one = replicas == 1 and scaling is None
    volumes = draw(st.lists(_LABELS, max_size=2, unique=True))
    names = draw(st.lists(_NAMES, max_size=6, unique=True))
    cut = draw(st.integers(0, len(names)))
    return Spec(
        name=draw(_LABELS),
        image=f"registry.example.com/{draw(_LABELS)}:1.0.{draw(st.integers(0, 99))}",
        server=draw(st.sampled_from([PythonServer("server.py"), UpstreamServer("https://api.example.com:8443/mcp")])),
        build=Build("0.1.0"),
        replicas=replicas,
        port=draw(st.integers(1024, 65_535)),
        environment=(
            *(Plain(name, draw(_VALUES)) for name in names[:cut]),
            *(FromSecret(name, by_file=draw(st.booleans())) for name in names[cut:]),
        ),
        resources=Resources(memory_limit_mib=draw(st.integers(256, 4096))),
        domains=tuple(draw(st.lists(_DOMAINS, max_size=2, unique=True))),
        tls=Tls(draw(st.sampled_from(["files", "issuer", "outside"]))),
        state=draw(st.sampled_from(["memory", "redis"])),
        redis_outside=draw(st.booleans()),
        records=draw(st.sampled_from(["sqlite", "postgres"])),
        postgres_outside=draw(st.booleans()),
        volumes=tuple(
            Volume(name, f"/srv/{name}", draw(st.integers(1, 50)), shared=not only_one or draw(st.booleans()))
            for name in volumes
        ),
        drain_s=draw(st.integers(1, 90)),
        scaling=scaling,
        limits=Limits(concurrency=draw(st.integers(1, 500))),
    )
