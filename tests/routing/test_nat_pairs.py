"""What two nodes' NATs let them do with each other: every pair."""

from __future__ import annotations

from itertools import product
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.interfaces import Guess, ICrust, account_of
from routing_crust.crust.reachability import Dialable, EndpointSource, OwnEndpoint, Reachability
from routing_crust.endpoints import Endpoint
from routing_crust.names import Name
from routing_crust.routing.nat_pairs import (
    both_ways,
    can_punch,
    guess_between,
    nat_of_hello,
    plain_is_hopeless,
    plain_may_do,
    told_nat,
)
from routing_crust.wire.messages import NatKind
from tests.crust.addresses import tunnel_to

REQUESTED = UNKNOWN, OPEN, CONE, SYMMETRIC = tuple(NatKind)[:-1]
TRANSLATED = NatKind.TRANSLATED


class Crust:
    """As much of crust as knows its NAT."""

    def __init__(self, nat: NatKind, dialable: Dialable, *sources: EndpointSource) -> None:
        self.nat = nat
        self.reachability = Reachability(nat, dialable, 0.0)
        self.sources = tuple(OwnEndpoint(Endpoint("8.8.8.8", 5483), each) for each in sources)
        self.candidates = tuple(each.endpoint for each in self.sources)


class NatTests(SynchronousTestCase):
    def test_cone_that_may_be_dialable_is_told_as_unknown_until_it_was_tried(self) -> None:
        for source in EndpointSource:
            may_be = source in (EndpointSource.CONFIGURED, EndpointSource.MAPPED, EndpointSource.INTERFACE)
            untried = cast(ICrust, Crust(CONE, Dialable.UNKNOWN, EndpointSource.PRIVATE, source))
            self.assertIs(told_nat(untried), UNKNOWN if may_be else CONE)
            self.assertIs(told_nat(cast(ICrust, Crust(CONE, Dialable.NO, source))), CONE)
        for nat in (UNKNOWN, OPEN, SYMMETRIC):
            self.assertIs(told_nat(cast(ICrust, Crust(nat, Dialable.UNKNOWN, EndpointSource.MAPPED))), nat)

    def test_hello_says_at_once_that_a_peer_sees_the_node_elsewhere(self) -> None:
        for source in EndpointSource:
            crust = Crust(UNKNOWN, Dialable.UNKNOWN, source)
            self.assertIs(nat_of_hello(cast(ICrust, crust)), UNKNOWN)
            crust.candidates += (Endpoint("9.9.9.9", 5483),)
            may_be = source in (EndpointSource.CONFIGURED, EndpointSource.MAPPED, EndpointSource.INTERFACE)
            self.assertIs(nat_of_hello(cast(ICrust, crust)), UNKNOWN if may_be else TRANSLATED)
            self.assertIs(told_nat(cast(ICrust, crust)), UNKNOWN)
            for crust.nat in (OPEN, CONE, SYMMETRIC):
                self.assertIs(nat_of_hello(cast(ICrust, crust)), crust.nat)

    def test_only_two_symmetric_nats_cannot_be_punched(self) -> None:
        hopeless = [pair for pair in product(NatKind, repeat=2) if not can_punch(*pair)]
        self.assertEqual(hopeless, [(SYMMETRIC, SYMMETRIC)])

    def test_plain_dial_is_hopeless_between_two_cones_only(self) -> None:
        hopeless = [pair for pair in product(NatKind, repeat=2) if plain_is_hopeless(*pair)]
        self.assertEqual(hopeless, [(CONE, CONE)])

    def test_plain_dial_goes_first_if_one_end_is_open_or_both_are_unknown(self) -> None:
        hopeful = [pair for pair in product(REQUESTED, repeat=2) if plain_may_do(*pair)]
        self.assertEqual(
            hopeful,
            [
                (UNKNOWN, UNKNOWN),
                (UNKNOWN, OPEN),
                (OPEN, UNKNOWN),
                (OPEN, OPEN),
                (OPEN, CONE),
                (OPEN, SYMMETRIC),
                (CONE, OPEN),
                (SYMMETRIC, OPEN),
            ],
        )

    def test_both_ends_may_dial_where_no_nat_is_known(self) -> None:
        self.assertEqual(
            [pair for pair in product(NatKind, repeat=2) if both_ways(*pair)],
            list(product((UNKNOWN, OPEN), repeat=2)),
        )

    def test_ports_are_guessed_where_one_of_two_nats_is_symmetric(self) -> None:
        """That one opens ports, and the other guesses. Nothing needs that where one is open."""
        tunnel = tunnel_to(Name(bytes(32)), "8.8.8.8")
        opened, guessed = (Guess("8.8.8.8", opens, account_of(tunnel)) for opens in (True, False))
        expected = {
            (SYMMETRIC, CONE): opened,
            (SYMMETRIC, UNKNOWN): opened,
            (CONE, SYMMETRIC): guessed,
            (UNKNOWN, SYMMETRIC): guessed,
        }
        for pair in product(REQUESTED, repeat=2):
            self.assertEqual(guess_between(*pair, tunnel), expected.get(pair), pair)
