"""Which attempt makes room where as many of one peer are expected as may be."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ICrust
from routing_crust.endpoints import PathKind
from routing_crust.identity import Identity
from routing_crust.limits import REQUEST_INTERVAL_SECONDS
from routing_crust.routing.connecting.attempts import Attempts
from routing_crust.routing.connecting.expected import ExpectedRequest
from routing_crust.routing.links.registry import LinkRegistry
from routing_crust.routing.node import Node
from routing_crust.wire.messages import ConnectRequest, LinkUse
from tests.crust.addresses import STRANGER

from .expected_values import name_of, nonce_of
from .test_attempts_property import FakeLink, FakeLinks
from .test_rendezvous import FakeCrust

PEER = name_of(1)


class UsedLinks(FakeLinks):
    """Links for the use that the test says."""

    use = LinkUse.DIRECT

    def peer(self, name: object) -> object:
        peer = super().peer(PEER)
        return None if peer is None else SimpleNamespace(link=self.all[PEER], use=self.use)


class RoomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.links = UsedLinks()
        crust = cast(ICrust, FakeCrust())
        own = Identity.from_seed(bytes([1]) * 32)
        node = Node(Settings(), own, self.clock, Random(1), crust, 1, self.clock.seconds)
        self.attempts = Attempts(node, cast(LinkRegistry, self.links))
        self.guessing: set[bytes] = set()
        self.patch(self.attempts.punches, "guesses", lambda peer, nonce: nonce in self.guessing)
        self.addCleanup(self.attempts.stop)

    def tunnel(self, use: LinkUse) -> None:
        self.links.all[PEER] = FakeLink(PEER, PathKind.TUNNEL)
        self.links.use = use

    def ask(self, nonce: int, use: LinkUse) -> None:
        """The peer asks for a link, one second after it asked last."""
        self.clock.advance(1)
        issued = self.clock.seconds()
        request = ConnectRequest(bytes(32), nonce_of(nonce), issued, issued + 90, 1, use, ())
        self.attempts.make_room(PEER, use, issued=issued)
        self.attempts.expect(ExpectedRequest(PEER, nonce_of(nonce), (), request, STRANGER))

    def expected(self) -> list[int]:
        return [int.from_bytes(each.nonce, "big") for each in self.attempts.expected.of_peer(PEER)]

    def test_attempt_for_membership_outlasts_those_that_would_replace_a_tunnel_of_a_stream(self) -> None:
        self.tunnel(LinkUse.DIRECT)
        self.ask(1, LinkUse.MEMBER)
        for nonce in (2, 3, 4):
            self.ask(nonce, LinkUse.DIRECT)
            self.assertEqual(self.expected(), [1, nonce])

    def test_oldest_goes_where_the_tunnel_serves_the_greatest_use(self) -> None:
        self.tunnel(LinkUse.MEMBER)
        for nonce, use in enumerate((LinkUse.MEMBER, LinkUse.DIRECT, LinkUse.DIRECT), 1):
            self.ask(nonce, use)
        self.assertEqual(self.expected(), [2, 3])

    def test_attempt_for_which_ports_are_guessed_makes_no_room(self) -> None:
        """Others to replace the same tunnel do, although they are younger."""
        self.tunnel(LinkUse.DIRECT)
        self.guessing.add(nonce_of(1))
        for nonce in (1, 2, 3):
            self.ask(nonce, LinkUse.DIRECT)
        self.assertEqual(self.expected(), [1, 3])
        self.guessing.add(nonce_of(3))
        self.clock.advance(REQUEST_INTERVAL_SECONDS)
        self.ask(4, LinkUse.DIRECT)
        self.assertEqual(self.expected(), [1, 3])

    def test_without_a_link_an_older_request_for_the_same_use_goes_first(self) -> None:
        """A node has one request under way for each use: it has given the older one up, and not the other."""
        for nonce, use in enumerate((LinkUse.MEMBER, LinkUse.DIRECT, LinkUse.DIRECT), 1):
            self.ask(nonce, use)
        self.assertEqual(self.expected(), [1, 3])
        self.ask(4, LinkUse.MEMBER)
        self.assertEqual(self.expected(), [3, 4])
