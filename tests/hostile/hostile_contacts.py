"""
Contacts that serve their own ends, in a process of their own. The argument is the network's id.

For each of L{ACTS} it prints a line: the name of the act, and where the contact is.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from time import sleep
from typing import Any, Final

from OpenSSL import SSL

from .behaviour import SOURCES
from .envelopes import GROUP_ANSWER, GROUP_QUERY, envelope
from .keys import Key, text_of
from .peer import ALPN, CONTACTS, ENVELOPE, GOODBYE, HEARTBEAT, HELLO, Closed, Peer, pack, unpack

FOR_LONG: Final = 600.0
"""Seconds, longer than any test: the other end gives up before."""


class Accepted(Peer):
    """A connection that a node has made to us: we are the TLS server, and say Hello second."""

    def __init__(self, accepted: socket.socket, key: Key, network: str) -> None:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.set_alpn_select_callback(lambda *_: ALPN)
        context.set_options(SSL.OP_NO_TICKET)
        self.network = network
        self._use(accepted, key, context)
        self.tls.set_accept_state()

    def let_in(self) -> None:
        """Let the node in, as an honest contact does."""
        self.handshake()
        self.wait_for(HELLO)
        self.hello(self.network)
        self.confirm()

    def stay(self, answer: Callable[[Accepted, list[Any]], None] | None = None) -> None:
        """Answer probes, and lookups with what C{answer} says, until the node closes the link."""
        while True:
            frame = self.receive(FOR_LONG)
            if frame is None:
                return
            kind, payload = frame
            if kind == HEARTBEAT and payload[:1] == b"\x01":
                self.send(HEARTBEAT, b"\x02" + payload[1:])
            elif kind == ENVELOPE and answer is not None:
                fields = unpack(payload)
                if fields[6] == GROUP_QUERY:
                    answer(self, unpack(fields[8]))

    def name(self, query: list[Any], others: list[bytes]) -> None:
        """Answer a lookup."""
        nonce, target = query
        body = pack([nonce, target, [self.key.name, *others]])
        self.say(ENVELOPE, envelope(self.key, self.network, self.tls_peer, GROUP_ANSWER, body))


def _is_mute(node: Accepted) -> None:
    sleep(FOR_LONG)


def _says_nothing(node: Accepted) -> None:
    node.handshake()
    sleep(FOR_LONG)


def _turns_away(node: Accepted) -> None:
    node.handshake()
    node.wait_for(HELLO)
    node.say(GOODBYE, (5, ""))
    node.closed_within(FOR_LONG)


def _confirms_nothing(node: Accepted) -> None:
    node.handshake()
    node.wait_for(HELLO)
    node.hello(node.network)
    sleep(FOR_LONG)


def _leaves_at_once(node: Accepted) -> None:
    node.let_in()


def _leaves_soon(node: Accepted) -> None:
    node.let_in()
    sleep(1.0)


def _forwards_nothing(node: Accepted) -> None:
    node.let_in()
    node.stay()


def _names_contacts_without_end(node: Accepted) -> None:
    node.let_in()
    for number in range(250):
        places = [(bytes([127, 99, number, host]), 5999) for host in range(1, 17)]
        node.say(CONTACTS, ([[os.urandom(32), place] for place in places],))
    node.stay()


def _knows_nobody(node: Accepted) -> None:
    node.let_in()
    node.stay(lambda node, query: node.name(query, []))


def _names_made_up_nodes(node: Accepted) -> None:
    node.let_in()
    node.stay(lambda node, query: node.name(query, [os.urandom(32) for _ in range(15)]))


def _names_made_up_neighbours(node: Accepted) -> None:
    node.let_in()
    near = node.tls_peer[:30]
    node.stay(lambda node, query: node.name(query, [near + bytes([1, last]) for last in range(15)]))


ACTS: Final = {
    each.__name__[1:].replace("_", " "): each
    for each in (
        _is_mute,
        _says_nothing,
        _turns_away,
        _confirms_nothing,
        _leaves_at_once,
        _leaves_soon,
        _forwards_nothing,
        _names_contacts_without_end,
        _knows_nobody,
        _names_made_up_nodes,
        _names_made_up_neighbours,
    )
}


def _serve(act: Callable[[Accepted], None], network: str, key: Key, door: socket.socket) -> None:
    while True:
        accepted, _ = door.accept()
        Thread(target=_play, args=(act, accepted, key, network), daemon=True).start()


def _play(act: Callable[[Accepted], None], accepted: socket.socket, key: Key, network: str) -> None:
    with accepted, suppress(Closed, OSError):
        act(Accepted(accepted, key, network))


def main() -> None:
    """Serve until it is killed."""
    _, network = sys.argv
    for number, (what, act) in enumerate(ACTS.items()):
        door = socket.create_server((f"{SOURCES}.{number}.7", 0))
        key = Key()
        Thread(target=_serve, args=(act, network, key, door), daemon=True).start()
        host, port = door.getsockname()
        print(f"{what}: {text_of(key.name)}@{host}:{port}", flush=True)
    sleep(FOR_LONG)
