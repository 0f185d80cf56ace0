"""Breaches of the protocol by a peer whose link is confirmed: one connection each, and what comes of it."""

from __future__ import annotations

import os
import struct

from .behaviour import Target, behaviour
from .envelopes import (
    SESSION_UNKNOWN,
    client_record,
    connect_request,
    envelope,
    flight,
    group_query,
    message_part,
    packet,
)
from .keys import Key
from .peer import (
    ACK,
    ANEW,
    CONTACTS,
    CONTINUED,
    DIAL_BACK,
    DIALLED,
    ENVELOPE,
    HEARTBEAT,
    MESSAGE,
    SWITCHED,
    TUNNEL_CREDIT,
    TUNNEL_DATA,
    TUNNEL_OPEN,
    pack,
)  # fmt: skip


def _after_attaching(target: Target, kind: int, payload: bytes) -> None:
    peer = target.attached()
    peer.send(kind, payload)
    target.expect_close(peer)


@behaviour("sends a frame of a kind that there is not")
def unknown_kind(target: Target) -> None:
    _after_attaching(target, 99, b"x")


@behaviour("sends a frame of kind 0")
def kind_zero(target: Target) -> None:
    _after_attaching(target, 0, b"")


@behaviour("sends a heartbeat with a payload that means nothing", tolerated=True)
def odd_heartbeat(target: Target) -> None:
    _after_attaching(target, HEARTBEAT, b"\x07" * 100)


@behaviour("sends an envelope that is no MessagePack")
def broken_envelope(target: Target) -> None:
    _after_attaching(target, ENVELOPE, b"\xc1" * 30)


@behaviour("sends a nest of 3,000 arrays")
def deep_nest(target: Target) -> None:
    _after_attaching(target, ENVELOPE, b"\x91" * 3000)


@behaviour("sends an envelope with a field too many")
def longer_envelope(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    peer.say(ENVELOPE, [*packet(key, target.network, target.name), b"more"])
    target.expect_close(peer)


@behaviour("says SWITCHED on the only link")
def switched_without_another(target: Target) -> None:
    _after_attaching(target, SWITCHED, pack([True]))


@behaviour("says that its link follows one that never was", tolerated=True)
def invented_predecessor(target: Target) -> None:
    _after_attaching(target, CONTINUED, pack([os.urandom(16), 3]))


@behaviour("begins a new view again and again")
def endless_views(target: Target) -> None:
    peer = target.attached()
    for number in range(1, 200):
        peer.say(ANEW, (number,))
    target.expect_close(peer)


@behaviour("grants credit to a tunnel that there is not", tolerated=True)
def invented_tunnel(target: Target) -> None:
    _after_attaching(target, TUNNEL_CREDIT, pack([12345, 65536, False]))


@behaviour("sends data to a tunnel that there is not", tolerated=True)
def data_without_tunnel(target: Target) -> None:
    _after_attaching(target, TUNNEL_DATA, struct.pack("!I", 77) + b"x" * 1000)


@behaviour("answers a dial that it was not asked for", tolerated=True)
def invented_dial(target: Target) -> None:
    _after_attaching(target, DIALLED, pack([5, 0]))


@behaviour("sends contacts where none are due", tolerated=True)
def unwanted_contacts(target: Target) -> None:
    contacts = [[os.urandom(32), [bytes([198, 51, 100, n]), 5483]] for n in range(16)]
    _after_attaching(target, CONTACTS, pack([contacts]))


@behaviour("acknowledges a message that was not sent", tolerated=True)
def invented_ack(target: Target) -> None:
    _after_attaching(target, ACK, pack([1 << 30, 0, 1, 0, b""]))


@behaviour("sends an envelope in somebody else's name, without its signature", tolerated=True)
def forged_source(target: Target) -> None:
    victim, key = Key(), Key()
    peer = target.attached(key)
    forged = group_query(key, target.network, target.name)
    forged[7] = victim.name
    peer.say(ENVELOPE, forged)
    target.expect_close(peer)


@behaviour("sends a true envelope of another key over its own link", tolerated=True)
def relayed_source(target: Target) -> None:
    peer = target.attached()
    peer.say(ENVELOPE, group_query(Key(), target.network, target.name))
    target.expect_close(peer)


@behaviour("sends what another key has signed, in an envelope of its own", tolerated=True)
def borrowed_body(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    borrowed = client_record(Key(), target.network, target.name, key.name)
    borrowed[7] = key.name
    peer.say(ENVELOPE, borrowed)
    target.expect_close(peer, 3.0)


@behaviour("sends a request for a connection with an expiry in 1,000 years", tolerated=True)
def long_request(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    peer.say(ENVELOPE, connect_request(key, target.network, target.name, lifetime=3e10))
    target.expect_close(peer)


@behaviour("names loopback, metadata and multicast addresses in a request", tolerated=True)
def forbidden_candidates(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    wanted = [
        (bytes(each), 5483) for each in ((169, 254, 169, 254), (224, 0, 0, 1), (0, 0, 0, 0), (255,) * 4)
    ]
    peer.say(ENVELOPE, connect_request(key, target.network, target.name, candidates=wanted))
    target.expect_close(peer)


@behaviour("gives the daemon's own addresses in a request, on other ports", tolerated=True)
def own_address(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    wanted = [(b"\x7f\0\0\1", port) for port in (22, 80, 6379, 11211, 3306, 8080, 9000, 9200)]
    peer.say(ENVELOPE, connect_request(key, target.network, target.name, candidates=wanted))
    target.expect_close(peer)


@behaviour(
    "names relays at false distances in a request: eight at 1 ms, and then at a minute", tolerated=True
)
def false_distances(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    for milliseconds in (1, 60_000):
        relays = [(Key().name, (bytes([198, 51, 100, n]), 5483), milliseconds) for n in range(8)]
        peer.say(ENVELOPE, connect_request(key, target.network, target.name, relays=relays))
    target.expect_close(peer, 3.0)


@behaviour("names relays at impossible distances, or nine of them, in a request", tolerated=True)
def impossible_distances(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    for count, milliseconds in ((1, -1), (1, 60_001), (1, 2**63), (9, 1)):
        relays = [(Key().name, (bytes([198, 51, 100, n]), 5483), milliseconds) for n in range(count)]
        peer.say(ENVELOPE, connect_request(key, target.network, target.name, relays=relays))
    target.expect_close(peer, 3.0)


@behaviour("sends the same envelope 100 times", tolerated=True)
def repeated_envelope(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    same = packet(key, target.network, target.name)
    for _ in range(100):
        peer.say(ENVELOPE, same)
    target.expect_close(peer)


@behaviour("sends the first of 65,536 parts, and no other", tolerated=True)
def endless_message(target: Target) -> None:
    peer = target.attached()
    peer.say(MESSAGE, message_part(b"x" * 1024, part=0, parts=65536))
    target.expect_close(peer)


@behaviour("goes on with the handshake of a session that nobody has begun", tolerated=True)
def flight_without_a_first(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    for number in (1, 2, 3, 7):
        peer.say(ENVELOPE, flight(key, target.network, target.name, os.urandom(500), number=number))
    target.expect_close(peer)


@behaviour("begins a session with what is no handshake", tolerated=True)
def junk_for_a_handshake(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    for body in (b"", b"\x16\x03\x01", os.urandom(3000)):
        peer.say(ENVELOPE, flight(key, target.network, target.name, body))
    target.expect_close(peer)


@behaviour("says of sessions that there never were that it does not know them", tolerated=True)
def unknown_sessions(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    for number in (0, 1, (1 << 63) - 1):
        peer.say(ENVELOPE, envelope(key, target.network, target.name, SESSION_UNKNOWN, pack([number])))
    target.expect_close(peer)


@behaviour("publishes itself as the client of a proxy that it has no link with", tolerated=True)
def invented_proxy(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    peer.say(ENVELOPE, client_record(key, target.network, target.name, os.urandom(32)))
    target.expect_close(peer)


@behaviour("looks up a close group in an unsigned envelope", tolerated=True)
def unsigned_query(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    query = group_query(key, target.network, target.name)
    query[9] = b""
    peer.say(ENVELOPE, query)
    target.expect_close(peer)


@behaviour("sends an envelope with no hops left, to nobody", tolerated=True)
def no_hops_left(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    peer.say(ENVELOPE, envelope(key, target.network, os.urandom(32), 1, b"x", hops=0))
    target.expect_close(peer)


@behaviour("asks to be dialled at an address that is not its own")
def foreign_dial_back(target: Target) -> None:
    _after_attaching(target, DIAL_BACK, pack([1, [[bytes([198, 51, 100, 7]), 5483]]]))


@behaviour("opens a tunnel to itself", tolerated=True)
def tunnel_to_itself(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    peer.say(TUNNEL_OPEN, (1, False, key.name, os.urandom(32), 65536, True))
    target.expect_close(peer)


@behaviour("attaches and does not read any more, while the daemon has to answer", tolerated=True)
def unread_answers(target: Target) -> None:
    key = Key()
    peer = target.attached(key)
    for _ in range(150):
        peer.say(ENVELOPE, group_query(key, target.network, target.name))
    target.expect_close(peer)
