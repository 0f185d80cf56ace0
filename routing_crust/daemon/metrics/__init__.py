"""The figures of a node for Prometheus."""
