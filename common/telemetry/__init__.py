"""What the processes say of themselves: logs (structlog) and metrics (Prometheus)."""
