"""Connections that go out: happy eyeballs, one dial per peer, limits, bootstrap."""
