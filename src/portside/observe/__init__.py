"""What can be seen from outside: one record a request, metrics, logs, health."""
