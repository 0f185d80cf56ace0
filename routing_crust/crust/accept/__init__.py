"""Connections that come in, and the ports they come in by."""
