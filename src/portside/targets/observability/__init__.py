"""Prometheus, Alertmanager and Grafana on paper: what to ask replicas, when to wake somebody, what to show."""
