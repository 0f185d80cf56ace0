"""
Breaches of the protocol by a peer whose link is not confirmed yet: one connection each, and what the daemon
does with it.
"""

from __future__ import annotations

import os
import struct
import time

from .behaviour import Target, behaviour
from .envelopes import (
    message_part,
    packet,
)
from .keys import Key, text_of
from .peer import (
    CONFIRMATION,
    CONFIRMATION_ACK,
    ENVELOPE,
    HEARTBEAT,
    HELLO,
    MESSAGE,
    REDEEM,
    pack,
)  # fmt: skip

# Before and during TLS.


@behaviour("connects and says nothing")
def silent_socket(target: Target) -> None:
    target.expect_plain_close(b"")


@behaviour("sends HTTP instead of TLS")
def plain_http(target: Target) -> None:
    target.expect_plain_close(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


@behaviour("sends random bytes instead of TLS")
def random_bytes(target: Target) -> None:
    target.expect_plain_close(os.urandom(4096))


@behaviour("sends half of a TLS record and no more")
def half_a_record(target: Target) -> None:
    target.expect_plain_close(b"\x16\x03\x01\x02\x00" + b"\x01" * 50)


@behaviour("shows the preface of a rendezvous that nobody expects")
def unexpected_preface(target: Target) -> None:
    target.expect_plain_close(b"rcp\x01" + b"\x03" + os.urandom(32))


@behaviour("offers no ALPN")
def no_alpn(target: Target) -> None:
    peer = target.peer(alpn=())
    peer.handshake().hello(target.network)
    target.expect_close(peer)


@behaviour("offers another ALPN")
def other_alpn(target: Target) -> None:
    peer = target.peer(alpn=(b"h2",))
    peer.handshake().hello(target.network)
    target.expect_close(peer)


@behaviour("offers the ALPN of version 1")
def version_1(target: Target) -> None:
    peer = target.peer(alpn=(b"routing-crust/1",))
    peer.handshake().hello(target.network)
    target.expect_close(peer)


@behaviour("shows no certificate")
def no_certificate(target: Target) -> None:
    peer = target.peer(certificate=False)
    peer.handshake().hello(target.network)
    target.expect_close(peer)


@behaviour("shows a certificate with somebody else's name and its own key")
def stolen_name(target: Target) -> None:
    peer = target.peer(names=[f"{text_of(target.other)}.crust.invalid"])
    peer.handshake().hello(target.network)
    target.expect_close(peer)


@behaviour("shows a certificate with a wildcard")
def wildcard_name(target: Target) -> None:
    peer = target.peer(names=["*.crust.invalid"])
    peer.handshake().hello(target.network)
    target.expect_close(peer)


@behaviour("shows a certificate with two names")
def two_names(target: Target) -> None:
    key = Key()
    own = f"{text_of(key.name)}.crust.invalid"
    peer = target.peer(key, names=[own, f"{text_of(target.other)}.crust.invalid"])
    peer.handshake().hello(target.network)
    target.expect_close(peer)


@behaviour("shows a certificate without a name")
def nameless_certificate(target: Target) -> None:
    peer = target.peer(names=())
    peer.handshake().hello(target.network)
    target.expect_close(peer)


@behaviour("completes TLS and says nothing")
def tls_without_hello(target: Target) -> None:
    target.expect_close(target.peer().handshake())


# Hello.


@behaviour("says Hello for another network")
def other_network(target: Target) -> None:
    peer = target.peer().handshake()
    peer.hello(target.network + "-other")
    target.expect_close(peer)


@behaviour("speaks only a version of the future")
def future_version(target: Target) -> None:
    peer = target.peer().handshake()
    peer.hello(target.network, versions=(999,))
    target.expect_close(peer)


@behaviour("signs its Hello for another TLS session")
def replayed_hello(target: Target) -> None:
    key = Key()
    first = target.peer(key).handshake()
    body = pack([[2], target.network, 0, 1, b"", None, [], 0, time.time()])
    sealed = pack([body, key.sign("hello", target.network, first.exporter, body)])
    peer = target.peer(key).handshake()
    peer.send(HELLO, sealed)
    target.expect_close(peer)


@behaviour("says Hello twice")
def two_hellos(target: Target) -> None:
    peer = target.peer().handshake()
    peer.hello(target.network)
    peer.hello(target.network)
    target.expect_close(peer)


@behaviour("adds fields to the end of its Hello")
def longer_hello(target: Target) -> None:
    peer = target.peer().handshake()
    peer.hello(target.network, extra=(1, b"more"))
    target.expect_close(peer)


@behaviour("says Hello with a role that there is not")
def unknown_role(target: Target) -> None:
    peer = target.peer().handshake()
    peer.hello(target.network, role=7)
    target.expect_close(peer)


@behaviour("says Hello for a request that nobody has made")
def invented_purpose(target: Target) -> None:
    peer = target.peer().handshake()
    peer.hello(target.network, purpose=os.urandom(16))
    target.expect_close(peer)


@behaviour("says that it listens at 33 addresses")
def many_endpoints(target: Target) -> None:
    peer = target.peer().handshake()
    peer.hello(target.network, listening=[(bytes([198, 51, 100, n]), 5483) for n in range(33)])
    target.expect_close(peer)


@behaviour("sends a frame of 16 MiB as its first")
def huge_first_frame(target: Target) -> None:
    peer = target.peer().handshake()
    peer.send_bytes(struct.pack("!I", HELLO << 24 | 0xFFFFFF) + bytes(100_000))
    target.expect_close(peer)


@behaviour("tries an invitation at a node of an open network, which has none")
def invitation_in_an_open_network(target: Target) -> None:
    peer = target.peer().handshake()
    peer.say(REDEEM, ([2], target.network, target.name, os.urandom(16), "laptop", os.urandom(32)))
    target.expect_close(peer)


@behaviour("says Hello, and tries an invitation after it")
def invitation_after_hello(target: Target) -> None:
    peer = target.peer().handshake()
    peer.hello(target.network)
    peer.say(REDEEM, ([2], target.network, target.name, os.urandom(16), "laptop", os.urandom(32)))
    target.expect_close(peer)


@behaviour("sends a message before its Hello")
def message_before_hello(target: Target) -> None:
    peer = target.peer().handshake()
    peer.say(MESSAGE, message_part(b"early"))
    target.expect_close(peer)


@behaviour("sends heartbeats instead of a Hello")
def heartbeats_before_hello(target: Target) -> None:
    peer = target.peer().handshake()
    for _ in range(64):
        peer.send(HEARTBEAT)
    target.expect_close(peer)


# Confirmation.


@behaviour("says Hello and nothing more")
def hello_without_confirmation(target: Target) -> None:
    peer = target.peer().handshake()
    peer.hello(target.network)
    target.expect_close(peer)


@behaviour("confirms before the daemon's Hello")
def early_confirmation(target: Target) -> None:
    peer = target.peer().handshake()
    peer.say(CONFIRMATION, (1, 2, True))
    target.expect_close(peer)


@behaviour("acknowledges a decision that was not made")
def invented_acknowledgement(target: Target) -> None:
    peer = target.peer().handshake()
    peer.hello(target.network)
    peer.say(CONFIRMATION_ACK, (1 << 40,))
    target.expect_close(peer)


@behaviour("sends an envelope before the Confirmation")
def early_envelope(target: Target) -> None:
    key = Key()
    peer = target.peer(key).handshake()
    peer.hello(target.network)
    peer.wait_for(HELLO)
    peer.say(ENVELOPE, packet(key, target.network, target.name))
    target.expect_close(peer)
