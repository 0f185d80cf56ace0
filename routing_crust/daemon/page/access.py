"""
Who may look at the page.

A web page of a stranger may have its own name resolve to our loopback address, and then counts as the same
origin for the browser (DNS rebinding). Its requests carry that name in the Host header, so of names only
those count that nobody else can have. For other hosts there is a token, which a browser asks its user for (as
the password, RFC 7617), and which programs send as a bearer token (RFC 6750).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from ipaddress import ip_address
from typing import Final

_LOCAL_NAMES: Final = ("localhost",)


def is_harmless_host(header: str | None) -> bool:
    """Whether a Host header names an address, or this host by a name that nobody else can have."""
    if not header:
        return False
    host, colon, port = header.rpartition(":")
    # without a port the last colon, if there is one, is part of an address in brackets
    if not colon or "]" in port:
        host = header
    elif not (port.isascii() and port.isdigit()):
        return False
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    name = host.lower().removesuffix(".")
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def has_token(header: str | None, token: str) -> bool:
    """Whether an Authorization header holds this token."""
    scheme, _, value = (header or "").partition(" ")
    given = value.strip()
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return False
    elif scheme.lower() != "bearer":
        return False
    # in a time that does not depend on where they differ
    return hmac.compare_digest(given.encode("utf-8"), token.encode("utf-8"))
