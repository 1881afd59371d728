"""Who reaches whom: the Service, the Ingress, and policies that name exactly what talks to what."""

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from portside.targets.dump import Tree
from portside.targets.kubernetes import objects
from portside.targets.kubernetes.objects import REDIS_PORT, Component, Object
from portside.targets.spec import Spec, UpstreamServer

POSTGRES_PORT: Final = 5432
SOLVER_PORT: Final = 8089


def service(spec: Spec) -> Object:
    """Return the Service: port 80 to the replicas that are ready."""
    port: Tree = {"name": "mcp", "port": 80, "targetPort": "mcp"}
    body: Tree = {"selector": objects.selector(spec, "server"), "ports": [port]}
    return objects.made("v1", "Service", spec.name, spec, "server", {"spec": body})


def ingress(spec: Spec) -> Object:
    """Return the Ingress: HTTPS alone, streams unbuffered and long, and only the paths that are for the outside."""
    backend: Tree = {"service": {"name": spec.name, "port": {"name": "mcp"}}}
    paths: list[Tree] = [
        {"path": path, "pathType": "Prefix", "backend": backend} for path in sorted(spec.kubernetes.paths)
    ]
    body: dict[str, Tree] = {
        "ingressClassName": spec.kubernetes.ingress_class,
        "rules": [{"host": domain, "http": {"paths": paths}} for domain in spec.domains],
    }
    if spec.tls.ends != "outside":
        body["tls"] = [{"hosts": list(spec.domains), "secretName": objects.tls_name(spec)}]
    return objects.made(
        "networking.k8s.io/v1", "Ingress", spec.name, spec, "server", {"spec": body}, dict(_annotations(spec))
    )


def _annotations(spec: Spec) -> Iterator[tuple[str, str]]:
    if spec.tls.ends == "issuer":
        yield "cert-manager.io/cluster-issuer", spec.kubernetes.issuer
    if spec.kubernetes.ingress_class != "nginx":
        return
    nginx = "nginx.ingress.kubernetes.io"
    if objects.ends_tls(spec):
        yield f"{nginx}/backend-protocol", "HTTPS"
        yield f"{nginx}/force-ssl-redirect", "true"
        yield f"{nginx}/ssl-redirect", "true"
    yield f"{nginx}/proxy-body-size", str(spec.limits.max_body_bytes)
    yield f"{nginx}/proxy-buffering", "off"
    yield f"{nginx}/proxy-connect-timeout", "2"
    yield f"{nginx}/proxy-read-timeout", str(spec.limits.stream_timeout_s)
    yield f"{nginx}/proxy-send-timeout", str(spec.limits.send_timeout_s)
    # Only where no connection could be made: nothing is ever sent twice.
    yield f"{nginx}/proxy-next-upstream", "error timeout"
    yield f"{nginx}/proxy-next-upstream-tries", "2"


def policies(spec: Spec) -> list[Object]:
    """Return the NetworkPolicies: nothing at all, and then what each component needs."""
    found = [
        _policy(spec, f"{spec.name}-nothing", "shared", {}, [], []),
        _policy(spec, spec.name, "server", _matching(spec, "server"), _to_server(spec), _from_server(spec)),
    ]
    if objects.runs_redis(spec):
        clients: Tree = {"from": [{"podSelector": _matching(spec, "server")}], "ports": [_tcp(REDIS_PORT)]}
        name = objects.redis_name(spec)
        found.append(_policy(spec, name, "redis", _matching(spec, "redis"), [clients], []))
    if spec.domains and spec.tls.ends == "issuer":
        # cert-manager answers the issuer's questions from pods of its own, in this namespace, on this port.
        solver: Tree = {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}
        ingress: Tree = {"namespaceSelector": _namespace(spec.kubernetes.ingress_namespace)}
        asking: Tree = {"from": [ingress], "ports": [_tcp(SOLVER_PORT)]}
        found.append(_policy(spec, f"{spec.name}-issuer", "shared", solver, [asking], []))
    if spec.records == "postgres":
        egress = [_names(), _anywhere(POSTGRES_PORT)]
        name = f"{spec.name}-migration"
        found.append(_policy(spec, name, "migration", _matching(spec, "migration"), [], egress))
    return found


def _policy(
    spec: Spec, name: str, component: Component, pods: Tree, ingress: Sequence[Tree], egress: Sequence[Tree]
) -> Object:
    body: Tree = {
        "podSelector": pods,
        "policyTypes": ["Ingress", "Egress"],
        **({"ingress": ingress} if ingress else {}),
        **({"egress": egress} if egress else {}),
    }
    return objects.made("networking.k8s.io/v1", "NetworkPolicy", name, spec, component, {"spec": body})


def _to_server(spec: Spec) -> list[Tree]:
    """Return who may connect to a replica: the ingress, for clients, and Prometheus, for /metrics."""
    spaces = dict.fromkeys((spec.kubernetes.ingress_namespace, spec.kubernetes.monitoring_namespace))
    return [{"from": [{"namespaceSelector": _namespace(name)} for name in spaces], "ports": [_tcp("mcp")]}]


def _from_server(spec: Spec) -> list[Tree]:
    allowed = [_names()]
    if objects.runs_redis(spec):
        allowed.append({"to": [{"podSelector": _matching(spec, "redis")}], "ports": [_tcp(REDIS_PORT)]})
    ports = [*spec.kubernetes.egress_ports]
    if spec.state == "redis" and spec.redis_outside:
        ports.append(REDIS_PORT)
    if spec.records == "postgres":
        ports.append(POSTGRES_PORT)
    if isinstance(spec.server, UpstreamServer):
        address = urlsplit(spec.server.url)
        ports.append(address.port or (80 if address.scheme == "http" else 443))
    if ports:
        allowed.append(_anywhere(*sorted(set(ports))))
    return allowed


def _names() -> Tree:
    """Return the rule that lets names be resolved."""
    to: Tree = {
        "namespaceSelector": _namespace("kube-system"),
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    return {"to": [to], "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}


def _anywhere(*ports: int) -> Tree:
    """Return the rule for these ports anywhere, but for link-local addresses: a cloud's credentials are there."""
    blocks: Tree = [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}},
        {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::/32"]}},
    ]
    return {"to": blocks, "ports": [_tcp(port) for port in ports]}


def _tcp(port: int | str) -> Tree:
    return {"protocol": "TCP", "port": port}


def _matching(spec: Spec, component: Component) -> Tree:
    return {"matchLabels": objects.selector(spec, component)}


def _namespace(name: str) -> Tree:
    return {"matchLabels": {"kubernetes.io/metadata.name": name}}
