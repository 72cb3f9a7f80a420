"""What the daemon tells its operators: log lines and metrics."""
