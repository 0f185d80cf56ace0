"""
Floods: what one host without standing does at a rate, while honest peers are measured.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

from .behaviour import Target, behaviour
from .envelopes import (
    client_hello,
    client_record,
    connect_request,
    flight,
    group_query,
    message_part,
    packet,
)
from .keys import Key
from .keyupdates import key_updates
from .peer import ENVELOPE, HELLO, MESSAGE, OPEN, TUNNEL_DATA, TUNNEL_OPEN, Closed, Peer


def addresses(count: int) -> Iterator[str]:
    """Loopback addresses in as many /24s as there may be."""
    return (f"127.{100 + n // 250}.{n % 250}.1" for n in range(count))


@behaviour("requests for connections by 140 made-up keys, over one attached link", flood=True)
def requests_of_many_keys(target: Target) -> None:
    keys = [Key() for _ in range(140)]
    peer = target.attached()
    for number in target.paced(30):
        key = keys[number % len(keys)]
        peer.say(ENVELOPE, connect_request(key, target.network, target.name, source_proxy=peer.key.name))


@behaviour("requests for connections by keys of its own, each over a link of its own", flood=True)
def requests_over_many_links(target: Target) -> None:
    for _ in target.paced(10):
        key = Key()
        with suppress(Closed):
            target.attached(key).say(ENVELOPE, connect_request(key, target.network, target.name))


@behaviour("links with Hello and no Confirmation, 29 a second, of one key", flood=True)
def unconfirmed_links(target: Target) -> None:
    key = Key()
    for _ in target.paced(29):
        with suppress(Closed, OSError):
            target.peer(key).handshake().hello(target.network)


@behaviour("links with Hello and no Confirmation, of new keys from many addresses", flood=True)
def unconfirmed_links_of_many(target: Target) -> None:
    sources = list(addresses(200))
    for number in target.paced(29):
        with suppress(Closed, OSError):
            target.peer(source=sources[number % 200]).handshake().hello(target.network)


@behaviour("64 keys of one address attach and stay", flood=True)
def idle_clients(target: Target) -> None:
    for number in target.paced(20):
        if number < 80:
            with suppress(Closed, OSError):
                target.attached(role=1)


@behaviour("Hellos whose clocks are a day ahead", flood=True)
def wrong_clocks(target: Target) -> None:
    import time

    sources = list(addresses(40))
    for number in target.paced(5):
        with suppress(Closed, OSError):
            target.attached(source=sources[number % 40], clock=time.time() + 86400)


@behaviour("8 silent sockets from each of 40 addresses, opened again as they close", flood=True)
def silent_sockets(target: Target) -> None:
    sources = list(addresses(40))
    open_sockets: list[socket.socket] = []
    try:
        for number in target.paced(100):
            each = socket.socket()
            each.settimeout(1.0)
            with suppress(OSError):
                each.bind((sources[number % 40], 0))
                each.connect(target.address)
            open_sockets.append(each)
            if len(open_sockets) > 400:
                open_sockets.pop(0).close()
    finally:
        for each in open_sockets:
            each.close()


@behaviour("TLS handshakes without an end, from one address", flood=True)
def handshakes(target: Target) -> None:
    key = Key()
    for _ in target.paced(200):
        with suppress(Closed, OSError):
            peer = Peer(target.address, key, source=target.source)
            try:
                peer.handshake()
            finally:
                peer.close()


@behaviour("bytes before the Hello, slowly", flood=True)
def slow_hello(target: Target) -> None:
    peers = []
    for _ in range(8):
        with suppress(Closed, OSError):
            peers.append(target.peer().handshake())
    for _ in target.paced(10):
        for peer in peers:
            with suppress(Closed):
                peer.send_bytes(struct.pack("!I", HELLO << 24 | 4000)[:1])


def _key_updates(target: Target, peer: Peer) -> None:
    """Change the keys until the daemon has had enough."""
    peer.socket.setblocking(True)
    peer.socket.settimeout(5.0)
    records = key_updates(peer.secrets["CLIENT_TRAFFIC_SECRET_0"])
    while target.left > 0:
        peer.socket.sendall(b"".join(itertools.islice(records, 100)))


@behaviour("KeyUpdates of TLS instead of a Hello, as fast as they go", flood=True)
def key_updates_before_the_hello(target: Target) -> None:
    key = Key()
    while target.left > 0:
        with suppress(Closed, OSError):
            _key_updates(target, target.peer(key).handshake())


@behaviour("signed lookups, as fast as they go", flood=True)
def lookups(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    ready = [group_query(key, target.network, target.name) for _ in range(500)]
    for number in target.paced(20_000):
        peer.say(ENVELOPE, ready[number % 500])


@behaviour("junk to an honest node, relayed by the target", flood=True)
def junk_through_a_relay(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    for _ in target.paced(400):
        peer.say(ENVELOPE, packet(key, target.network, target.other, body=b"x" * 16_000))


@behaviour("envelopes to names that nobody has", flood=True)
def envelopes_to_nobody(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    for _ in target.paced(3000):
        peer.say(ENVELOPE, packet(key, target.network, os.urandom(32)))


@behaviour("handshakes of sessions that are never completed, over its own link", flood=True)
def handshakes_over_one_link(target: Target) -> None:
    key, hello = Key(), client_hello()
    peer = target.attached(key)
    for _ in target.paced(300):
        peer.say(ENVELOPE, flight(key, target.network, target.name, hello))


@behaviour("handshakes of sessions, each of a key with a link of its own", flood=True)
def handshakes_of_many_keys(target: Target) -> None:
    hello = client_hello()
    for _ in target.paced(20):
        with suppress(Closed, OSError):
            key = Key()
            peer = target.attached(key)
            for _ in range(10):
                peer.say(ENVELOPE, flight(key, target.network, target.name, hello))


@behaviour("packets of sessions that there are not", flood=True)
def packets_without_a_session(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    for _ in target.paced(5000):
        peer.say(ENVELOPE, packet(key, target.network, target.name))


@behaviour("first parts of messages that never become whole, over its own link", flood=True)
def parts_over_one_link(target: Target) -> None:
    peer = target.attached()
    for _ in target.paced(2000):
        peer.say(MESSAGE, message_part(b"x" * 16_000, part=0, parts=64))


@behaviour("records of 10,000 clients that are not there", flood=True)
def client_records(target: Target) -> None:
    peer = target.attached()
    for _ in target.paced(600):
        peer.say(ENVELOPE, client_record(Key(), target.network, target.name, peer.key.name))


@behaviour("requests to the application that are never read", flood=True)
def application_requests(target: Target) -> None:
    peer = target.attached()
    for _ in target.paced(2000):
        peer.say(MESSAGE, message_part(b"x" * 10_000, flavour=1))


@behaviour("a new message id for each of 101,000 messages", flood=True)
def message_ids(target: Target) -> None:
    peer = target.attached()
    for _ in target.paced(20_000):
        peer.say(MESSAGE, message_part(b""))


@behaviour("opens streams that are refused, as fast as they go", flood=True)
def refused_streams(target: Target) -> None:
    peer = target.attached()
    peer.resume()
    first = 1 if peer.key.name < target.name else 2
    for number in target.paced(20_000):
        peer.send(OPEN, struct.pack("!III", first + 2 * number, 65536, 600) + b"nothing")
        if number % 100 == 0:
            peer.receive(0.0)


@behaviour("opens tunnels to an honest node", flood=True)
def tunnels(target: Target) -> None:
    peer = target.attached()
    number = 1
    for _ in target.paced(50):
        peer.say(TUNNEL_OPEN, (number, False, target.other, os.urandom(32), 65536, True))
        number += 2


@behaviour("one-byte frames for a tunnel that there is not", flood=True)
def tunnel_bytes(target: Target) -> None:
    for _ in target.paced(20):
        with suppress(Closed, OSError):
            peer = target.attached()
            for _ in range(200):
                peer.send(TUNNEL_DATA, struct.pack("!I", 1) + b"x")


@behaviour("heartbeats that ask for an answer, as fast as they go", flood=True)
def probes(target: Target) -> None:
    peer = target.attached()
    for number in target.paced(50_000):
        peer.send(1, b"\x01")
        if number % 100 == 0:
            peer.receive(0.0)


@behaviour("dials named to the daemon by 40 requests at once", flood=True)
def dials_for_strangers(target: Target) -> None:
    keys = [Key() for _ in range(40)]
    peer = target.attached()
    for number in target.paced(20):
        wanted = [(bytes([127, 99, number % 250, n + 1]), 5999) for n in range(8)]
        key = keys[number % 40]
        peer.say(
            ENVELOPE,
            connect_request(key, target.network, target.name, candidates=wanted, source_proxy=peer.key.name),
        )


@behaviour("refusals of every kind, so that they are logged", flood=True)
def log_lines(target: Target) -> None:
    for number in target.paced(50):
        with suppress(Closed, OSError):
            peer = Peer(
                target.address, Key(), source=target.source, names=None if number % 2 else ["x.example"]
            )
            try:
                peer.handshake().hello(
                    target.network + ("x" if number % 3 else ""), versions=(2 + number % 2,)
                )
                peer.receive(0.2)
            finally:
                peer.close()
