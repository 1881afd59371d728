"""What is said once: where it listens, what it serves, what is off and how to turn it on; or why it did not start."""

import sys

import structlog

from portside.errors import PortsideError
from portside.hosting.base import Description
from portside.serve.app import ENDPOINT
from portside.settings.model import Settings
from portside.settings.sources import Loaded
from portside.version import VERSION

_log = structlog.get_logger("portside.serve")


def show(loaded: Loaded, url: str, description: Description) -> None:
    """Tell a person on stderr, and the log: one event with the same facts."""
    settings = loaded.settings
    _log.info(
        "serve.ready",
        version=VERSION,
        url=url + ENDPOINT,
        env=settings.env,
        server=description.name,
        family=description.family,
        sdk_version=description.version,
        tools=len(description.paths),
    )
    if settings.env == "development" or sys.stderr.isatty():
        print(text(loaded, url, description), file=sys.stderr, flush=True)


def failed(error: PortsideError) -> None:
    """Tell why the server did not start."""
    print(f"portside: {error}", file=sys.stderr, flush=True)


def text(loaded: Loaded, url: str, description: Description) -> str:
    """Return the banner."""
    settings = loaded.settings
    counts: dict[str, int] = {}
    for path in description.paths.values():
        counts[path] = counts.get(path, 0) + 1
    tools = ", ".join(f"{count} {path}" for path, count in sorted(counts.items())) or "not known before they are listed"
    lines = [
        f"portside {VERSION} serves {description.name!r} ({description.family} {description.version})",
        f"  endpoint   {url}{ENDPOINT}   (MCP 2024-11-05 to 2026-07-28)",
        f"  health     {url}/health   ready {url}/ready   metrics {url}/metrics",
        f"  tools      {tools}",
        *(f"  off        {line}" for line in off(settings)),
    ]
    return "\n".join(lines)


def off(settings: Settings) -> list[str]:
    """Return what this process does not do, and how to have it."""
    lines: list[str] = []
    if not settings.is_authenticated:
        lines.append(
            "authentication: PORTSIDE_AUTH_ISSUERS=https://login.example.com, JWT_SECRET or PORTSIDE_API_KEYS=true"
        )
    if settings.ssl_cert_path is None:
        lines.append("TLS: SSL_CERT_PATH and SSL_KEY_PATH, or end it in a proxy and set PORTSIDE_PUBLIC_URL=https://…")
    if settings.audit == "off":
        lines.append("audit log: PORTSIDE_AUDIT=file and PORTSIDE_AUDIT_KEY_PATH (portside audit init-key)")
    if not settings.metrics_enabled:
        lines.append("metrics: METRICS_ENABLED=true")
    if not settings.health_check_enabled:
        lines.append("health checks: HEALTH_CHECK_ENABLED=true")
    if settings.public_url is None:
        lines.append("a public name: PORTSIDE_PUBLIC_URL=https://mcp.example.com (until then only local names answer)")
    if not settings.allowed_origins:
        lines.append("browser clients: PORTSIDE_ALLOWED_ORIGINS=https://app.example.com")
    if not settings.encryption_keys:
        lines.append("questions that survive a restart: ENCRYPTION_KEY")
    return lines
