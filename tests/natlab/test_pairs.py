"""Pairs of places between which there must be a link, of which path kind; and how such are measured."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.endpoints import PathKind

from .lab import why_not
from .matrix import ONLY_A_TUNNEL, STRAIGHT, Pair, Place, Try, all_pairs, measure
from .router import Stray
from .table import cell, shares, table

CHOSEN = (
    (Pair(Place.PUBLIC, Place.SYMMETRIC), Stray.DROP),
    (Pair(Place.FIREWALL, Place.FIREWALL), Stray.REJECT),
    (Pair(Place.FIREWALL, Place.PORT_RESTRICTED), Stray.DROP),
    (Pair(Place.FULL_CONE, Place.SYMMETRIC), Stray.DROP),
    (Pair(Place.RESTRICTED, Place.SYMMETRIC), Stray.DROP),
    (Pair(Place.RESTRICTED, Place.PORT_RESTRICTED), Stray.DROP),
    (Pair(Place.PORT_RESTRICTED, Place.PORT_RESTRICTED), Stray.DROP),
    (Pair(Place.PORT_RESTRICTED, Place.PORT_RESTRICTED), Stray.REJECT),
    (Pair(Place.PORT_RESTRICTED, Place.PORT_RESTRICTED), Stray.ANSWER),
    (Pair(Place.PORT_RESTRICTED, Place.SYMMETRIC), Stray.DROP),
    (Pair(Place.DOUBLE, Place.DOUBLE), Stray.DROP),
    (Pair(Place.SYMMETRIC, Place.BLOCKED), Stray.DROP),
    (Pair(Place.PORT_RESTRICTED, Place.PORT_RESTRICTED, same_lan=True), Stray.DROP),
)


class PairsTests(SynchronousTestCase):
    def test_chosen_pairs_get_a_good_enough_link_and_send(self) -> None:
        """Each of these gets a link, of a path kind that is good enough, and a message over it."""
        reason = why_not(delay=True)
        if reason:
            raise SkipTest(reason)
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            tries = list(threads.map(lambda each: measure(*each, tries=1)[0], CHOSEN))
        wrong = [
            f"{pair}, {stray.value}: {one}"
            for (pair, stray), one in zip(CHOSEN, tries, strict=True)
            if one.problem or one.path_kind not in pair.expected
        ]
        self.assertEqual(wrong, [])
        self.assertTrue(all(each.message > 0 for each in tries))


class ExpectedTests(SynchronousTestCase):
    def test_only_pairs_that_cannot_be_punched_may_end_with_a_tunnel(self) -> None:
        """Every pair is there once, and only those that cannot be punched may end with a tunnel."""
        pairs = list(all_pairs())
        self.assertEqual(len(pairs), len(set(pairs)))
        self.assertEqual(len(pairs), len(Place) * (len(Place) + 1) // 2 + 3)
        hard = {
            str(each)
            for each in pairs
            if each.expected is ONLY_A_TUNNEL and Place.BLOCKED not in (each.one, each.other)
        }
        self.assertEqual(
            hard,
            {
                "firewall - symmetric",
                "port-restricted - symmetric",
                "symmetric - symmetric",
                "symmetric - double NAT",
            },
        )

    def test_tunnel_is_good_only_where_nothing_better_can_be(self) -> None:
        """A tunnel is good where there can be nothing better, and comes soon; a problem never is."""
        self.assertTrue(Try(PathKind.TUNNEL, 2.9, 2.9).is_good(ONLY_A_TUNNEL))
        self.assertFalse(Try(PathKind.TUNNEL, 3.1, 3.1).is_good(ONLY_A_TUNNEL))
        self.assertFalse(Try(PathKind.TUNNEL, 0.5, 0.5).is_good(STRAIGHT))
        self.assertTrue(Try(PathKind.PUNCHED, 5.0, 0.5).is_good(STRAIGHT))
        self.assertFalse(Try(PathKind.PUNCHED, 0.5, 0.5, "it ended").is_good(STRAIGHT))
        self.assertFalse(Try().is_good(STRAIGHT))


class TableTests(SynchronousTestCase):
    pair = Pair(Place.PUBLIC, Place.SYMMETRIC)

    def test_cell_has_medians_and_marks_what_is_not_good(self) -> None:
        """The medians, the path kinds if there are several, and a mark on what is not good."""
        good = [
            Try(PathKind.DIRECT, 0.1, 0.2),
            Try(PathKind.DIRECT, 0.3, 0.4),
            Try(PathKind.DIRECT, 0.2, 0.9),
        ]
        self.assertEqual(cell(good, STRAIGHT), "direct, 0.20 s, 0.40 s")
        bad = [*good[:2], Try(PathKind.TUNNEL, 0.2, 0.2)]
        self.assertEqual(cell(bad, STRAIGHT), "2 direct, 1 tunnel, 0.20 s, 0.20 s **(not as it must be)**")

    def test_table_has_a_row_for_each_pair_and_a_column_for_each_router(self) -> None:
        one = [Try(PathKind.DIRECT, 0.1, 0.2)]
        text = table([self.pair], [Stray.DROP, Stray.ANSWER], {(self.pair, each): one for each in Stray})
        self.assertEqual(text.count("direct, 0.10 s, 0.20 s"), 2)
        self.assertIn("   * - public - symmetric\n", text)
        self.assertIn("     - Routers that answer", text)

    def test_shares_are_counted_over_all_tries(self) -> None:
        tries = [[Try(PathKind.PUNCHED, 0.1, 0.2)] * 3, [Try()]]
        self.assertEqual(shares(tries), "4 tries: punched 75%, nothing 25%")
