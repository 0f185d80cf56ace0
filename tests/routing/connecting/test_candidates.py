"""The addresses in requests and responses: those that we give, and those of a peer that we dial."""

from __future__ import annotations

from random import Random
from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.interfaces import ICrust
from routing_crust.endpoints import Endpoint
from routing_crust.history import History
from routing_crust.identity import Identity
from routing_crust.routing.connecting import candidates
from routing_crust.routing.connecting.candidates import CandidateExchange
from routing_crust.routing.node import Node
from routing_crust.wire.codec import from_wire, to_wire

OWN = Identity.from_seed(bytes([1]) * 32)
PEER = Identity.from_seed(bytes([2]) * 32).name
HERE = Endpoint("8.8.4.4", 5483)
PUBLIC = Endpoint("8.8.8.8", 5483)
LOOPBACK = Endpoint("127.0.0.1", 5483)
PRIVATE = Endpoint("10.1.2.3", 5483)


class FakeCrust:
    """As much of crust as tells our addresses."""

    def __init__(self, clock: Clock) -> None:
        self.history = History(clock.seconds)
        self.endpoints = (HERE,)
        self.candidates: tuple[Endpoint, ...] = (HERE,)
        self.on_link_networks = ()
        self.own_hosts = frozenset[str]()


class CandidatesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.crust = FakeCrust(self.clock)
        self.patch(candidates, "MAX_CANDIDATES", 3)
        self.patch(candidates, "MAX_ANSWERED_PER_PREFIX_PER_MINUTE", 2)
        settings = Settings()
        crust = cast(ICrust, self.crust)
        self.candidates = CandidateExchange(
            Node(settings, OWN, self.clock, Random(1), crust, 1, self.clock.seconds)
        )

    def outcomes(self) -> list[str]:
        return [each.where for each in self.crust.history.of(PEER).outcomes if "not dialled" in each.text]

    def test_we_give_the_best_addresses_that_crust_knows(self) -> None:
        """No more than C{MAX_CANDIDATES}, as they are at that moment."""
        self.assertEqual([from_wire(each) for each in self.candidates.ours()], [HERE])
        many = tuple(Endpoint("8.8.4.4", 5000 + each) for each in range(5))
        self.crust.candidates = many
        self.assertEqual(tuple(from_wire(each) for each in self.candidates.ours()), many[:3])

    def test_address_that_a_stranger_may_not_name_is_not_dialled(self) -> None:
        """The history shows all that the peer has named, and which of it was refused."""
        given = tuple(map(to_wire, (LOOPBACK, PUBLIC, HERE)))
        self.assertEqual(self.candidates.dialable(PEER, given, "its request"), (PUBLIC,))
        told = [each.endpoint for each in self.crust.history.of(PEER).told]
        self.assertEqual(told, [LOOPBACK, PUBLIC, HERE])
        self.assertEqual(self.outcomes(), [str(LOOPBACK), str(HERE)])

    def test_no_more_than_max_candidates_of_a_peer_are_dialled(self) -> None:
        """The rest is not looked at."""
        given = tuple(to_wire(Endpoint("9.9.9.9", 5000 + each)) for each in range(5))
        self.assertEqual(len(self.candidates.dialable(PEER, given, "its request")), 3)
        self.assertEqual(len(self.crust.history.of(PEER).told), 3)

    def test_answers_cannot_have_a_prefix_dialled_too_often(self) -> None:
        """Another prefix, and the same one a minute later, may be dialled."""
        near = tuple(Endpoint(f"8.8.8.{each}", 5483) for each in range(1, 4))
        other = Endpoint("9.9.9.9", 5483)
        self.assertEqual(self.candidates.affordable(PEER, (*near, other)), (*near[:2], other))
        self.assertEqual(self.outcomes(), [str(near[2])])
        self.clock.advance(59)
        self.assertEqual(self.candidates.affordable(PEER, near[:1]), ())
        self.clock.advance(1)
        self.assertEqual(self.candidates.affordable(PEER, near[:1]), near[:1])

    def test_local_addresses_of_answers_are_not_limited(self) -> None:
        """They cannot belong to a victim on the internet."""
        for _ in range(5):
            self.assertEqual(self.candidates.affordable(PEER, (PRIVATE, LOOPBACK)), (PRIVATE, LOOPBACK))
