"""What two nodes' NATs let them do with each other: every pair."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.routing.nat_pairs import both_ways, can_punch, plain_may_do
from routing_crust.wire.messages import NatKind

UNKNOWN, OPEN, CONE, SYMMETRIC = NatKind


class NatTests(SynchronousTestCase):
    def test_only_two_symmetric_nats_cannot_be_punched(self) -> None:
        hopeless = [pair for pair in product(NatKind, repeat=2) if not can_punch(*pair)]
        self.assertEqual(hopeless, [(SYMMETRIC, SYMMETRIC)])

    def test_plain_dial_goes_first_if_one_end_is_open_or_both_are_unknown(self) -> None:
        hopeful = [pair for pair in product(NatKind, repeat=2) if plain_may_do(*pair)]
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
