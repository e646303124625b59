"""For whoever operates the server: what it logs, /health and /metrics."""
