"""Connections that go out through a proxy: HTTP CONNECT and SOCKS5."""
