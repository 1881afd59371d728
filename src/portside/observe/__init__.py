"""What is seen from outside: one record per request, logs, metrics, health."""
