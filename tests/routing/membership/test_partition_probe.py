"""Probing: whom a probe asks, by what link, and when."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.endpoints import Contact, Direction, Endpoint
from routing_crust.names import NAME_BYTES, Name
from routing_crust.routing.links.peer import Peer
from routing_crust.routing.membership.partition_probe import (
    HURRIED_PROBE_SECONDS,
    PROBE_INTERVAL_SECONDS,
    Prober,
)
from routing_crust.wire.messages import LinkUse


def name(number: int) -> Name:
    return Name(number.to_bytes(NAME_BYTES, "big"))


OWN = name(0)


class ProberTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.contacts: list[Contact] = []
        self.peers: list[Peer] = []
        self.dialled: list[Name] = []
        self.asked: list[tuple[Name, object]] = []
        self.chosen: list[Name] = []
        crust = SimpleNamespace(
            resolve_contacts=lambda: None,
            configured_contacts=tuple,
            saved_contacts=lambda: tuple(self.contacts),
            connect=self.connect,
        )
        node: Any = SimpleNamespace(name=OWN, clock=self.clock, random=Random(1), crust=crust)
        lookup: Any = SimpleNamespace(look_up=self.look_up)
        time: Any = SimpleNamespace(chosen=lambda peer: self.chosen.append(peer.name))
        links: Any = SimpleNamespace(peers=self.peers)
        self.prober = Prober(node, lookup, time, links, lambda group, link: None)
        self.addCleanup(self.prober.stop)
        self.prober.start()

    def connect(self, endpoints: object, peer: Name, purpose: bytes, share: object) -> Deferred[Any]:
        self.dialled.append(peer)
        dial: Deferred[Any] = Deferred()
        # it is answered at once, by nobody
        dial.callback(None)
        return dial

    def look_up(self, target: Name, via: object, of: Name) -> Deferred[Any]:
        self.assertEqual(target, OWN)
        self.asked.append((of, via))
        return Deferred()

    def contact(self, number: int) -> None:
        self.contacts.append(Contact(Endpoint.of(f"93.184.{number}.1", 5483), name(number)))

    def peer(self, number: int, use: LinkUse, direction: Direction, is_client: bool = False) -> Peer:
        link: Any = SimpleNamespace(direction=direction)
        facts: Any = SimpleNamespace(is_client=is_client)
        peer = Peer(name(number), link, use, True, facts, 0.0)
        self.peers.append(peer)
        return peer

    def probe(self, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(1.5 * PROBE_INTERVAL_SECONDS)

    def test_caller_is_asked_by_its_link_and_chosen(self) -> None:
        """If all contacts have links, nobody is dialled, and one who has dialled us has a voice."""
        self.contact(2)
        caller = self.peer(1, LinkUse.ATTACHED, Direction.ACCEPTED)
        self.peer(2, LinkUse.ATTACHED, Direction.CONNECTED)
        self.peer(3, LinkUse.MEMBER, Direction.ACCEPTED)
        self.peer(4, LinkUse.DIRECT, Direction.ACCEPTED)
        self.peer(5, LinkUse.ATTACHED, Direction.ACCEPTED, is_client=True)
        self.probe()
        self.assertEqual((self.dialled, self.chosen), ([], [name(1)]))
        self.assertEqual(self.asked, [(name(1), caller.link)])

    def test_many_callers_take_half_of_the_turns(self) -> None:
        """A contact without a link may be of another part of the network."""
        self.contact(1)
        for number in range(2, 100):
            self.peer(number, LinkUse.ATTACHED, Direction.ACCEPTED)
        self.probe(100)
        self.assertGreater(len(self.dialled), 30)
        self.assertGreater(len(set(self.chosen)), 20)

    def test_hurried_probe_comes_soon(self) -> None:
        self.contact(1)
        self.prober.hurry()
        self.clock.advance(1.5 * HURRIED_PROBE_SECONDS)
        self.assertEqual(self.dialled, [name(1)])

    def test_probe_that_is_hurried_again_and_again_is_not_put_off(self) -> None:
        self.contact(1)
        for _ in range(15):
            self.prober.hurry()
            self.clock.advance(HURRIED_PROBE_SECONDS / 10)
        self.assertEqual(self.dialled, [name(1)])

    def test_prober_that_rests_cannot_be_hurried(self) -> None:
        self.contact(1)
        self.prober.stop()
        self.prober.hurry()
        self.assertEqual(self.clock.getDelayedCalls(), [])
