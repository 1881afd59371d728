"""The files: for Prometheus, Alertmanager and Grafana."""

from typing import Final

from portside.targets import dump
from portside.targets.file import File
from portside.targets.kubernetes import objects
from portside.targets.observability import alerts, dashboard, scraping
from portside.targets.spec import Spec

FOLDER: Final = "observability"


def render(spec: Spec) -> tuple[File, ...]:
    """Return every file. Two are configurations of Prometheus: one by name, one that finds pods by itself."""
    scheme = "https" if objects.ends_tls(spec) else "http"
    pods = scraping.kubernetes(spec, namespace=objects.namespace(spec), scheme=scheme)
    trees = {
        "prometheus.yml": scraping.static(spec),
        "prometheus-kubernetes.yml": pods,
        "rules.yml": alerts.rules(spec),
        "alertmanager.yml": scraping.alertmanager(spec),
        "adapter.yml": scraping.adapter(),
    }
    files = [File(f"{FOLDER}/{name}", dump.yaml(tree)) for name, tree in trees.items()]
    return (*files, File(f"{FOLDER}/dashboard.json", dump.json_text(dashboard.dashboard(spec))))
