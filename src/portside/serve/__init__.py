"""From settings to a running replica: parts opened in order, signals, drain."""
