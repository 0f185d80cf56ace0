"""
Floods of links and of what goes with them: attached keys that leave, tunnels, contacts, dials back, and
frames that never end.
"""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
from contextlib import suppress

from .behaviour import EXPOSED, HONEST, Target, behaviour
from .envelopes import DIRECT, SYMMETRIC, connect_request, group_query, message_part
from .floods import addresses
from .keys import Key
from .keyupdates import key_updates
from .peer import (
    ACK,
    CONTACTS,
    DIAL_BACK,
    ENVELOPE,
    HEARTBEAT,
    MESSAGE,
    OPEN,
    OPENED,
    REFUSED,
    TUNNEL_CLOSED,
    TUNNEL_CREDIT,
    TUNNEL_OPEN,
    TUNNEL_OPENED,
    Closed,
    Peer,
    pack,
    unpack,
)


@behaviour("attaches and leaves, a new key each time, as fast as it goes", flood=True)
def attach_and_leave(target: Target) -> None:
    for _ in target.paced(100):
        with suppress(Closed, OSError):
            peer = Peer(target.address, Key(), source=target.source)
            try:
                peer.attach(target.network)
            finally:
                peer.close()


@behaviour("tunnels to an honest node, of 20 keys that each have a link", flood=True)
def tunnels_of_many_keys(target: Target) -> None:
    peers: list[Peer] = []
    for number in target.paced(40):
        with suppress(Closed, OSError):
            if len(peers) < 20:
                peers.append(target.attached())
            peer = peers[number % len(peers)]
            opening = (2 * number + 1, False, target.other, os.urandom(32), 65536, True)
            peer.say(TUNNEL_OPEN, opening)


@behaviour("tunnels between 20 keys that each have a link, as many as they get", flood=True)
def tunnels_between_many_keys(target: Target) -> None:
    """The reaction is what two others, at an address of their own, get meanwhile."""
    peers = [target.attached() for _ in range(20)]
    for number in target.paced(10):
        if target.left < 2:
            break
        for _ in range(4):
            for index, peer in enumerate(peers):
                far = peers[(index + 1 + number) % len(peers)]
                if far is not peer:
                    _ask(peer, far)
        for peer in peers:
            _accept(peer)
    pair = [target.attached(source=f"{HONEST}.{number}.1") for number in (1, 2)]
    _ask(*pair)
    for _ in range(10):
        _accept(pair[1])
        frame = pair[0].receive(0.2)
        if frame is not None and frame[0] in (TUNNEL_OPENED, TUNNEL_CLOSED):
            opened = frame[0] == TUNNEL_OPENED
            target.reaction = "others get one" if opened else f"others get none, reason {unpack(frame[1])[1]}"
            break


def _ask(peer: Peer, far: Peer) -> None:
    peer.tunnels += 2
    peer.say(TUNNEL_OPEN, (peer.tunnels - 1, False, far.key.name, os.urandom(32), 65536, True))


def _accept(peer: Peer) -> None:
    """Accept what was offered so far."""
    while (frame := peer.receive(0.0)) is not None:
        if frame[0] == TUNNEL_OPEN:
            peer.say(TUNNEL_OPENED, (unpack(frame[1])[0], 65536, 60))


@behaviour("credit for tunnels that there are not, as fast as it goes", flood=True)
def tunnel_credit(target: Target) -> None:
    peer = target.attached()
    grant = pack([7, 65536, False])
    for _ in target.paced(20_000):
        peer.send(TUNNEL_CREDIT, grant)


@behaviour("contacts again and again, each of a node that there is not", flood=True)
def endless_contacts(target: Target) -> None:
    peer = target.attached()
    for number in target.paced(500):
        places = [(bytes([198, 51, number % 250, n + 1]), 5483) for n in range(16)]
        peer.say(CONTACTS, ([[os.urandom(32), place] for place in places],))


@behaviour("asks to be dialled back, as fast as it goes", flood=True)
def endless_dials_back(target: Target) -> None:
    peer = target.attached()
    host, _ = peer.socket.getsockname()
    for number in target.paced(2000):
        peer.say(DIAL_BACK, (number, [[bytes(map(int, host.split("."))), 5483]]))


@behaviour("asks for guessed ports at a third party, and says that it sees itself there", flood=True)
def endless_guesses(target: Target) -> None:
    """The reaction is how many of the third party's ports were dialled."""
    victim = f"{HONEST}.7.7"
    where = socket.inet_aton(victim)
    doors = [socket.create_server((victim, 0)) for _ in range(64)]
    places = [(where, door.getsockname()[1]) for door in doors[:1]]
    by_number = {door.fileno(): door for door in doors}
    # select() knows 1024 descriptors, and other floods beside this one have more
    poll = select.poll()
    for door in doors:
        poll.register(door, select.POLLIN)
    dialled: set[socket.socket] = set()
    key = Key()
    peer = target.attached(key, nat=SYMMETRIC)
    try:
        for number in target.paced(30):
            proof = os.urandom(32)
            peer.say(TUNNEL_OPEN, (2 * number + 1, True, Key().name, proof, 65536, True, where))
            request = connect_request(
                key, target.network, target.name, candidates=places, use=DIRECT, nat=SYMMETRIC, guesses=True
            )
            peer.say(ENVELOPE, request)
            dialled.update(by_number[door] for door, _ in poll.poll(0))
    finally:
        guessed = len(dialled.difference(doors[:1]))
        target.reaction = f"{guessed} of {len(doors) - 1} ports dialled"
        for door in doors:
            door.close()


@behaviour("acknowledges messages that were not sent, as fast as it goes", flood=True)
def endless_acks(target: Target) -> None:
    peer = target.attached()
    for number in target.paced(20_000):
        peer.say(ACK, (number, 0, 1, 0, b""))


@behaviour("heartbeats one byte at a time", flood=True)
def slow_heartbeats(target: Target) -> None:
    peer = target.attached()
    frame = struct.pack("!I", HEARTBEAT << 24)
    for number in target.paced(5000):
        peer.send_bytes(frame[number % 4 : number % 4 + 1])


@behaviour("50 links, each with 60 KB of a frame that does not end", flood=True)
def half_frames(target: Target) -> None:
    for number in target.paced(20):
        if number < 50:
            with suppress(Closed, OSError):
                peer = target.attached(source=f"127.{120 + number}.1.1")
                peer.send_bytes(struct.pack("!I", MESSAGE << 24 | 65_000) + bytes(60_000))


@behaviour("KeyUpdates of TLS over an attached link, as fast as they go", flood=True)
def key_updates_over_a_link(target: Target) -> None:
    while target.left > 0:
        with suppress(Closed, OSError):
            peer = target.attached()
            peer.socket.setblocking(True)
            peer.socket.settimeout(5.0)
            # two frames were sent, each in a record of its own
            records = key_updates(peer.secrets["CLIENT_TRAFFIC_SECRET_0"], sent=2)
            while target.left > 0:
                peer.socket.sendall(b"".join(itertools.islice(records, 100)))


@behaviour("frames of an application that is not there, as fast as they go", flood=True)
def application_frames(target: Target) -> None:
    peer = target.attached()
    for _ in target.paced(50_000):
        peer.send(200, b"x")


@behaviour("clients of 200 networks, one of each, attach and stay", flood=True)
def idle_clients_of_many(target: Target) -> None:
    _attach_from(target, role=1)


@behaviour("nodes of 200 networks, one of each, attach, stay and never join", flood=True)
def idle_nodes_of_many(target: Target) -> None:
    _attach_from(target, role=0)


def _attach_from(target: Target, role: int) -> None:
    sources = list(addresses(200))
    for number in target.paced(40):
        if number < len(sources):
            with suppress(Closed, OSError):
                target.attached(source=sources[number], role=role)


@behaviour("signed lookups by five parties, each of a network of its own", flood=True)
def lookups_of_many(target: Target) -> None:
    parties: list[tuple[Peer, list[bytes]]] = []
    for source in addresses(5):
        key = Key()
        ready = [group_query(key, target.network, target.name) for _ in range(100)]
        parties.append((target.attached(key, source=source), ready))
    for number in target.paced(20_000):
        peer, ready = parties[number % len(parties)]
        peer.say(ENVELOPE, ready[number // len(parties) % len(ready)])


@behaviour("streams to an exposed program by thirty parties, more than all may have", flood=True)
def streams_of_many(target: Target) -> None:
    """The reaction is what another party, at an address of its own, gets meanwhile."""
    peers = [target.attached(source=source) for source in addresses(30)]
    for peer in peers:
        peer.resume()
    for each in range(60):
        for peer in peers:
            with suppress(Closed):
                _open(target, peer, each)
    honest = target.attached(source=f"{HONEST}.3.1")
    honest.resume()
    _open(target, honest, 0)
    kind, _ = honest.wait_for(OPENED, REFUSED, seconds=max(1.0, target.left))
    target.reaction = "others get one" if kind == OPENED else "others get none"
    for _ in target.paced(1):
        pass


def _open(target: Target, peer: Peer, number: int) -> None:
    """Ask for one more stream. The end with the smaller name has the odd numbers."""
    first = 1 if peer.key.name < target.name else 2
    peer.send(OPEN, struct.pack("!III", first + 2 * number, 65536, 600) + EXPOSED.encode())


@behaviour("requests of 60 KB to the application, by ten parties of as many networks", flood=True)
def application_requests_of_many(target: Target) -> None:
    peers = [target.attached(source=source) for source in addresses(10)]
    for number in target.paced(400):
        with suppress(Closed):
            peers[number % len(peers)].say(MESSAGE, message_part(b"x" * 60_000, flavour=1))
