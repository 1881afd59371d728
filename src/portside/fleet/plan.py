"""What a fleet is made of, from settings and flags: the facts, the replicas' command and environment, the rules."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec import structs

from portside.errors import Problem, SettingsInvalid, StartFailed
from portside.fleet import network
from portside.fleet.decision import Rules
from portside.fleet.folder import Folder
from portside.fleet.proxy import Shape, installed, new_gates
from portside.fleet.record import Facts, ProxyName
from portside.settings.sources import Loaded

CLOSE_S: Final = 15.0
"""What a replica may take after its drain: for its lifespan, its children, its records."""

_FRONTS: Final = ("MCP_HOST", "MCP_PORT", "SSL_CERT_PATH", "SSL_KEY_PATH")

_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class Flags:
    """What `fleet up` is told beyond the settings. Times in seconds."""

    proxy: ProxyName = "haproxy"
    stats_port: int = 8404
    max_replicas: int = 16
    ready_s: float = 60.0
    silent_s: float = 30.0
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a supervisor needs to run a fleet. `names`: what the replicas answer as beside local names."""

    facts: Facts
    shape: Shape
    rules: Rules
    config: Path | None
    base: Mapping[str, str] = field(repr=False)
    has_key: bool
    log_dir: Path | None
    names: tuple[str, ...]

    def command(self, port: int) -> list[str]:
        """Return the command of the replica at a port."""
        config = [] if self.config is None else ["--config", str(self.config.resolve())]
        address = ["--host", "127.0.0.1", "--port", str(port)]
        return [sys.executable, "-m", "portside", "serve", self.facts.target, *address, *config]

    def environment(self, name: str, port: int, folder: Folder) -> dict[str, str]:
        """Return the environment of a replica: the supervisor's own, with what makes it a replica of this fleet."""
        made = {key: value for key, value in self.base.items() if key not in _FRONTS}
        made |= {
            "SERVER_ID": name,
            "MCP_HOST": "127.0.0.1",
            "MCP_PORT": str(port),
            "HEALTH_CHECK_ENABLED": "true",
        }
        if self.facts.proxy != "none":
            made["PORTSIDE_TRUSTED_PROXIES"] = "127.0.0.1"
        if self.names:
            made["PORTSIDE_ALLOWED_HOSTS"] = ",".join(self.names)
        if not self.has_key:
            made["ENCRYPTION_KEY_FILE"] = str(folder.key)
            made.pop("ENCRYPTION_KEY", None)
        if self.facts.redis_port is not None:
            made["REDIS_URL"] = f"redis://127.0.0.1:{self.facts.redis_port}/0"
            made["REDIS_PASSWORD"] = folder.secret(folder.redis_password)
        if self.log_dir is not None:
            # Two processes must not rotate one file.
            made["PORTSIDE_LOG_DIR"] = str(self.log_dir / name)
        return made


def plan(loaded: Loaded, flags: Flags, known: Facts | None, *, environ: Mapping[str, str] = os.environ) -> Plan:
    """Return the plan of a fleet; ports are those of `known`, where a fleet is there already.

    Makes nothing. Raises SettingsInvalid, StartFailed for what a fleet cannot do or has not got.
    """
    settings = loaded.settings
    if settings.target is None:
        raise StartFailed("nothing to serve", hint="name a target: portside fleet up server.py")
    _check(loaded, flags)
    host = settings.host.strip("[]")
    drain_s = settings.drain_timeout_ms / 1000 + settings.stdio_stop_ms / 1000 + CLOSE_S
    return Plan(
        facts=_facts(settings.target, host, settings.port, flags, known, environ, is_tls=bool(settings.ssl_cert_path)),
        shape=Shape(
            certificate=settings.ssl_cert_path,
            key=settings.ssl_key_path,
            max_body_bytes=settings.max_body_bytes,
            header_timeout_s=_whole(settings.header_timeout_ms),
            body_timeout_s=_whole(settings.body_timeout_ms),
            send_timeout_s=_whole(settings.send_timeout_ms),
            session_idle_s=_whole(settings.session_idle_ms),
        ),
        rules=Rules(
            drain_s=drain_s,
            ready_s=max(flags.ready_s, 0.1),
            silent_s=flags.silent_s,
            holds_unready=flags.proxy != "haproxy",
        ),
        config=flags.config,
        base=environ,
        has_key=bool(settings.encryption_keys),
        log_dir=settings.log_dir,
        names=(*settings.allowed_hosts, *(() if host in _ANY else (f"[{host}]" if ":" in host else host,))),
    )


def _facts(
    target: str,
    host: str,
    port: int,
    flags: Flags,
    known: Facts | None,
    environ: Mapping[str, str],
    *,
    is_tls: bool,
) -> Facts:
    if known is not None:
        changed = _changed(known, host, port, flags, is_tls=is_tls)
        if changed:
            hint = "end it first: portside fleet down"
            raise StartFailed(f"the fleet that runs has another {', another '.join(changed)}", hint=hint)
        return structs.replace(known, target=target)
    if port == 0:
        raise SettingsInvalid((Problem("MCP_PORT", "0: expected the port clients use, 1 to 65535, for a fleet"),))
    needs_redis = not environ.get("REDIS_URL")
    if flags.proxy != "none":
        installed(flags.proxy)
    if needs_redis:
        installed("redis-server")
    _must_be_free(host, port, flags)
    # One slot more than there may be replicas: for the extra one of a roll.
    ports = network.free_ports(flags.max_replicas + 1 + needs_redis)
    redis_port = ports.pop() if needs_redis else None
    return Facts(target, flags.proxy, host, port, flags.stats_port, tuple(ports), redis_port, is_tls=is_tls)


def with_gates(facts: Facts) -> Facts:
    """Return the facts with the folder made that nginx needs."""
    if facts.proxy != "nginx" or (facts.gates is not None and Path(facts.gates).is_dir()):
        return facts
    return structs.replace(facts, gates=new_gates())


def _changed(known: Facts, host: str, port: int, flags: Flags, *, is_tls: bool) -> list[str]:
    pairs = {
        f"host ({known.host})": known.host == host,
        f"port ({known.port})": known.port == port,
        f"proxy ({known.proxy})": known.proxy == flags.proxy,
        "idea of TLS": known.is_tls == is_tls,
    }
    return [name for name, is_same in pairs.items() if not is_same]


def _must_be_free(host: str, port: int, flags: Flags) -> None:
    if flags.proxy == "none":
        return
    wanted = [(host, port, "choose another with --port or MCP_PORT")]
    if flags.proxy == "haproxy":
        if port == flags.stats_port:
            raise StartFailed(f"--stats-port {port}: is the port clients use", hint="choose another")
        wanted.append(("127.0.0.1", flags.stats_port, "choose another with --stats-port"))
    for where, number, hint in wanted:
        if not network.is_free(where, number):
            raise StartFailed(f"cannot listen on {where}:{number}: it is taken", hint=f"{hint}, or stop what is there")


def _check(loaded: Loaded, flags: Flags) -> None:
    problems: list[Problem] = []
    settings = loaded.settings
    if settings.ssl_cert_path is not None and flags.proxy == "none":
        problems.append(Problem("SSL_CERT_PATH", "the proxy ends TLS, and there is none: leave it out"))
    if settings.ssl_ca_path is not None:
        why = "client certificates end at a fleet's proxy, which does not ask for them; leave it out"
        problems.append(Problem("SSL_CA_PATH", why))
    for attribute, name in (("ssl_cert_path", "SSL_CERT_PATH"), ("ssl_key_path", "SSL_KEY_PATH")):
        if loaded.origins[attribute] not in ("default", f"environment {name}"):
            where = loaded.origins[attribute]
            problems.append(Problem(name, "set it in the environment: the proxy ends TLS, not the replicas", where))
    if problems:
        raise SettingsInvalid(tuple(problems))


def _whole(milliseconds: int) -> int:
    return max(1, -(-milliseconds // 1000))
