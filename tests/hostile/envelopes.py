"""
Envelopes and what they hold, made by hand.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from OpenSSL import SSL

from .keys import Key
from .peer import pack

SEALED, FLIGHT, CONNECT_REQUEST, CONNECT_RESPONSE, GROUP_QUERY, GROUP_ANSWER, CLIENT_RECORD, UNDELIVERABLE = (
    range(1, 9)
)
SESSION_UNKNOWN: Final = 12
DIRECT: Final = 1
MEMBER: Final = 2
SYMMETRIC: Final = 3
"""Of the kinds of NATs."""
_ids = itertools.count(int(time.time()) << 20)


def envelope(
    key: Key,
    network: str,
    destination: bytes,
    kind: int,
    body: bytes,
    *,
    number: int | None = None,
    hops: int = 20,
    nearest: bool = False,
    destination_proxy: bytes = b"",
    source_proxy: bytes = b"",
    signed: bool = True,
) -> list[Any]:
    """The fields of an envelope, signed unless its body proves itself."""
    number = next(_ids) if number is None else number
    fields = (number.to_bytes(8, "big"), destination, source_proxy, bytes([kind, nearest]), body)
    signature = key.sign("envelope", network, *fields) if signed else b""
    return [
        number,
        hops, destination, nearest, destination_proxy, source_proxy, kind, key.name, body, signature,
    ]  # fmt: skip


def connect_request(
    key: Key,
    network: str,
    recipient: bytes,
    *,
    candidates: Sequence[tuple[bytes, int]] = (),
    use: int = MEMBER,
    issued: float | None = None,
    lifetime: float = 60.0,
    source_proxy: bytes = b"",
    relays: Sequence[Any] = (),
    nonce: bytes | None = None,
    nat: int = 0,
    guesses: bool = False,
) -> list[Any]:
    """An envelope with a ConnectRequest that is in order but for what is given."""
    now = time.time() if issued is None else issued
    nonce = nonce or os.urandom(16)
    body = pack([recipient, nonce, now, now + lifetime, 1, use, list(candidates), nat, list(relays), guesses])
    whole = pack([key.name, body, key.sign("connect-request", network, body)])
    return envelope(key, network, recipient, CONNECT_REQUEST, whole, source_proxy=source_proxy, signed=False)


def client_record(key: Key, network: str, destination: bytes, proxy: bytes) -> list[Any]:
    """An envelope with a ClientRecord."""
    now = time.time()
    body = pack([proxy, now, now + 3600])
    whole = pack([key.name, body, key.sign("client-record", network, body)])
    return envelope(key, network, destination, CLIENT_RECORD, whole, signed=False)


def group_query(key: Key, network: str, destination: bytes, target: bytes | None = None) -> list[Any]:
    """A signed lookup of the close group of a name."""
    body = pack([os.urandom(16), target or os.urandom(32)])
    return envelope(key, network, destination, GROUP_QUERY, body)


def packet(key: Key, network: str, destination: bytes, *, body: bytes = b"junk" * 8) -> list[Any]:
    """An envelope with what looks like a packet of a session; there is none."""
    return envelope(key, network, destination, SEALED, pack([next(_ids), 0, 0, body]), signed=False)


def flight(
    key: Key, network: str, destination: bytes, body: bytes, *, number: int = 0, session: int | None = None
) -> list[Any]:
    """A signed envelope with a flight of the handshake of a session."""
    # odd where our name is the greater one
    chosen = 2 * next(_ids) + (key.name > destination) if session is None else session
    return envelope(key, network, destination, FLIGHT, pack([chosen, number, body]))


def client_hello() -> bytes:
    """The first flight of a handshake that is in order. TLS does not bind it to a key."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_alpn_protos([b"routing-crust-session/2"])
    tls = SSL.Connection(context)
    tls.set_connect_state()
    with suppress(SSL.WantReadError):
        tls.do_handshake()
    return tls.bio_read(8192)


def message_part(
    body: bytes, *, part: int = 0, parts: int = 1, flavour: int = 0, number: int | None = None
) -> list[Any]:
    """One part of a message, as it goes in an envelope or bare over a link."""
    return [next(_ids) if number is None else number, part, parts, flavour, b"", body]
