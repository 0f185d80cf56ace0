"""
Strangers name addresses that are not theirs: what one node dials for it, on a fake reactor. All ways to have
something dialled are tried at once, with the code that decides on them, from the bytes of the message on.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from random import Random
from typing import Any, cast

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.admission import Rules
from routing_crust.crust.dial.dial_back import DialBacks
from routing_crust.crust.dial.dialler import Dialler
from routing_crust.crust.dial.limits import DialLimits
from routing_crust.crust.interfaces import ICrust, Rendezvous
from routing_crust.crust.netstate.external_addresses import ExternalAddresses
from routing_crust.crust.punch.puncher import Puncher
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import ConnectFailed, LimitReached, ServiceStopped
from routing_crust.history import History
from routing_crust.names import Name
from routing_crust.routing.connecting.candidates import CandidateExchange
from routing_crust.routing.node import Node
from routing_crust.wire.codec import from_wire
from routing_crust.wire.fields import WireEndpoint
from tests.crust.addresses import STRANGER

from ...test_endpoints import NEVER, PRIVATE
from ..addresses import HOST, at, identity, name
from ..support import Owner, dial_environment

VICTIM = "9.9.9.9"
SPELLINGS = (
    "9.9.9.9",
    "::ffff:9.9.9.9",
    "::9.9.9.9",
    "::ffff:0:9.9.9.9",
    "64:ff9b::9.9.9.9",
    "64:ff9b:1::9.9.9.9",
    "2002:909:909::1",
    "2001:0:909:909::1",
    "2001:0:4136:e378:8000:63bf:f6f6:f6f6",
)
"""The victim's address as it is, and inside those of translators and tunnels."""
OURS = at("192.168.1.5:5483")
NEIGHBOUR = "192.168.1.77"
"""In a network of ours, so it may be dialled."""
A_MINUTE = 3
"""The setting C{stranger_dials_per_prefix}."""


class _Crust:
    """As much of crust as judges addresses."""

    def __init__(self, history: History, on_link: tuple[str, ...]) -> None:
        self.history = history
        self.endpoints = (OURS,)
        self.on_link_networks = on_link
        self.own_hosts = frozenset((OURS.host,))
        self.outside = (OURS,)
        self.inner_networks = ()

    def is_known(self, endpoint: Endpoint, peer: Name) -> bool:
        return False

    def configured_contacts(self) -> tuple[Contact, ...]:
        return ()


class _Links:
    """There are none."""

    def peer(self, name: Name) -> None:
        return None

    def dialled_at(self, name: Name) -> None:
        return None


class VictimTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.reactor.advance(1000)
        owner = Owner(self.reactor, Settings(), 3)
        outside = ExternalAddresses(owner.settings, self.reactor.seconds, _nothing, _nothing)
        outside.host([OURS], HOST)
        limits = DialLimits(owner.settings, Rules((), ()), self.reactor.seconds, outside.dialled)
        history = History(self.reactor.seconds)
        crust = _Crust(history, outside.on_link)
        node = Node(
            owner.settings,
            identity(3),
            self.reactor,
            Random(1),
            cast(ICrust, crust),
            1,
            self.reactor.seconds,
        )
        self.candidates = CandidateExchange(node, _Links())
        environment = dial_environment(owner, self.reactor, limits)
        listening = replace(environment, listening=lambda: (at("0.0.0.0:5483"), at("[::]:5483")))
        self.dialler = Dialler(environment)
        self.puncher = Puncher(listening, Random(1), lambda: (OURS,))
        self.backs = DialBacks(environment, outside)
        self.waiting: list[Deferred[Any]] = []
        self.dials: list[tuple[float, str]] = []
        """When which address was dialled."""

    def asked(self, peer: Name, token: bytes, hosts: Iterable[str], port: int) -> None:
        """Somebody asks for a connection, and for being dialled back, at these addresses."""
        wire = tuple(WireEndpoint(ip_address(each.partition("%")[0]).packed, port) for each in hosts)
        given = self.candidates.dialable(peer, wire, "its request")
        # a node that is asked for these judges them itself
        back = self.backs.dial([from_wire(each) for each in wire], peer, STRANGER)
        self._wait(back)
        self._wait(self.dialler.connect(given, peer, token, STRANGER))
        self._wait(self.puncher.connect(given, peer, token, STRANGER, Rendezvous(False)))

    def refuse(self, seconds: float) -> None:
        """Whatever is dialled meanwhile is refused, so that it is tried again if it may be."""
        for _ in range(round(seconds * 20)):
            while len(self.dials) < len(self.reactor.tcpClients):
                host, _, factory, *_ = self.reactor.tcpClients[len(self.dials)]
                connector = self.reactor.connectors[len(self.dials)]
                self.dials.append((self.reactor.seconds(), host))
                factory.doStart()
                problem = error.ConnectionRefusedError(errno.ECONNREFUSED, "refused")
                factory.clientConnectionFailed(connector, Failure(problem))
                factory.doStop()
            self.reactor.advance(0.05)

    def stop(self) -> None:
        """Nothing is left, and everybody was told."""
        self.dialler.stop()
        self.puncher.stop()
        self.backs.stop()
        self.assertTrue(self.dialler.idle and self.puncher.idle and self.backs.idle)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertTrue(all(each.called for each in self.waiting))

    def _wait(self, outcome: Deferred[Any]) -> None:
        outcome.addErrback(lambda failure: failure.trap(ConnectFailed, LimitReached, ServiceStopped) and None)
        self.waiting.append(outcome)

    def test_thousand_requests_cannot_exceed_the_budget_for_one_victim(self) -> None:
        """By a hundred names, for many ports and in all spellings: three dials in any minute, of any kind."""
        peers = [name(each) for each in range(10, 110)]
        for number in range(1000):
            port = 5483 + number % 7
            self.asked(peers[number % 100], number.to_bytes(2, "big"), SPELLINGS, port)
            self.refuse(0.2)
        self.refuse(10)
        self.assertEqual({host for _, host in self.dials}, {VICTIM})
        self.assertGreaterEqual(len(self.dials), 2 * A_MINUTE)  # it is dialled again when it may be
        times = [each for each, _ in self.dials]
        for number, time in enumerate(times):
            within = [each for each in times[number:] if each < time + 59.9]
            self.assertLessEqual(len(within), A_MINUTE, times)
        self.stop()

    def test_forbidden_addresses_are_never_dialled_but_those_on_our_network_are(self) -> None:
        """What nobody may have us dial is not dialled in any way; what is in our own network is."""
        denied = sorted({*NEVER, *PRIVATE})
        self.assertGreater(len(denied), 60)
        for number, host in enumerate(denied):
            self.asked(name(10 + number % 100), number.to_bytes(2, "big"), [host], 5483)
            self.refuse(0.1)
        self.refuse(10)
        self.assertEqual(self.dials, [])
        self.asked(name(9), b"neighbour", [NEIGHBOUR], 5483)
        self.refuse(1)
        self.assertEqual({host for _, host in self.dials}, {NEIGHBOUR})
        self.stop()


def _nothing(*what: object) -> None:
    """Nobody wants to know."""
