"""The path watch: what the links through a NAT say about each other."""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.interfaces import ANSWER_WITHIN_SECONDS, ILink
from routing_crust.crust.link.liveness import SUSPECTED_DOUBT_AFTER_SECONDS
from routing_crust.crust.link.round_trip import RoundTrip
from routing_crust.crust.netstate.path_watch import (
    ANSWER_AFTER_BREAKS_SECONDS,
    ANSWER_SECONDS,
    BREAKS_WITHIN_SECONDS,
    MIN_PROBES_INTERVAL_SECONDS,
    OWED_SECONDS,
    SILENCE_SECONDS,
    PathWatch,
    answer_limit,
)
from routing_crust.endpoints import Connection, Endpoint, PathKind, Protocol
from routing_crust.errors import CloseReason, LinkClosed

RESET = LinkClosed(CloseReason.CONNECTION_LOST)


class FakeLink:
    """A link that counts how often it is probed."""

    is_verified = True
    is_doubted = False
    owed_for = OWED_SECONDS

    def __init__(self, peer: str, local: str = "192.168.1.2", path_kind: PathKind = PathKind.DIRECT) -> None:
        self.connection = Connection(Protocol.TCP, Endpoint(peer, 5483), Endpoint(local, 5483))
        self.path_kind = path_kind
        self.has_heard = False
        self.probes = 0
        self.within: float | None = None
        self.cut = False
        self.round_trip = RoundTrip(float)

    def probe(self) -> None:
        self.probes += 1

    def must_answer(self, within: float) -> None:
        self.within = within

    def abort(self, reason: CloseReason, detail: str) -> None:
        self.cut = True


class AnswerLimitTests(SynchronousTestCase):
    def limit(self, link: FakeLink, source: str) -> float:
        return answer_limit(cast(ILink, link), lambda peer: source)

    def test_link_of_another_uplink_than_the_present_one_has_little_time(self) -> None:
        """The router of the present one does not know its connection."""
        link = FakeLink("5.5.1.1")
        self.assertEqual(self.limit(link, "192.168.1.2"), ANSWER_WITHIN_SECONDS)
        self.assertEqual(self.limit(link, "192.168.7.2"), ANSWER_AFTER_BREAKS_SECONDS)

    def test_link_that_goes_through_no_nat_has_its_time(self) -> None:
        public, tunnel = FakeLink("5.5.1.1", "5.5.9.9"), FakeLink("5.5.1.1", path_kind=PathKind.TUNNEL)
        for link in (public, tunnel):
            self.assertEqual(self.limit(link, "192.168.7.2"), ANSWER_WITHIN_SECONDS)

    def test_link_has_its_time_while_the_host_has_no_way_to_the_peer(self) -> None:
        def source(peer: Endpoint) -> str:
            raise OSError("no way")

        link = cast(ILink, FakeLink("5.5.1.1"))
        self.assertEqual(answer_limit(link, source), ANSWER_WITHIN_SECONDS)


class PathWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.links: dict[ILink, None] = {}
        self.broken = 0
        self.watch = PathWatch(self.clock, self.links, self.path_broken)

    def path_broken(self) -> None:
        self.broken += 1

    def add(self, *links: FakeLink) -> None:
        for each in links:
            self.links[cast(ILink, each)] = None
            self.watch.link_up(cast(ILink, each))

    def lose(self, link: FakeLink, reason: LinkClosed = RESET) -> None:
        del self.links[cast(ILink, link)]
        self.watch.link_lost(cast(ILink, link), reason)

    def probes(self) -> list[int]:
        return [cast(FakeLink, each).probes for each in self.links]

    def several(self, count: int) -> list[FakeLink]:
        links = [FakeLink(f"5.5.{number}.1") for number in range(count)]
        self.add(*links)
        return links

    def test_one_link_is_probed_while_nothing_comes(self) -> None:
        """Each in its turn, so that a node with many links sends no more than one with few."""
        links = self.several(3)
        for _ in range(6):
            self.clock.advance(SILENCE_SECONDS)
            links[0].has_heard = True  # the answer
            self.clock.advance(ANSWER_SECONDS)
            links[0].has_heard = False
        self.assertEqual(self.probes(), [2, 2, 2])

    def test_all_are_probed_where_nothing_answers_the_first_probe(self) -> None:
        """Once in a while."""
        self.several(3)
        self.clock.advance(SILENCE_SECONDS)
        self.assertEqual(self.probes(), [1, 0, 0])
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(self.probes(), [2, 1, 1])
        self.clock.pump([0.5] * 4)
        self.assertLessEqual(sum(self.probes()), 6)

    def test_nothing_is_kept_of_links_that_are_gone(self) -> None:
        links = self.several(3)
        self.clock.advance(SILENCE_SECONDS)
        self.watch.link_silent(cast(ILink, links[1]))
        for each in links:
            self.lose(each, LinkClosed(CloseReason.NO_LONGER_NEEDED))
        self.assertEqual(len(self.watch._turn), 0)

    def test_watch_that_was_stopped_begins_from_the_start(self) -> None:
        for number in (1, 2):
            for each in self.several(3)[:2]:
                self.lose(each)
            self.assertEqual(self.broken, number)
            self.links.clear()
            self.watch.stop()

    def test_no_link_is_probed_while_one_of_them_brings_something(self) -> None:
        one, *_ = self.several(3)
        for _ in range(5):
            one.has_heard = True
            self.clock.advance(SILENCE_SECONDS)
        self.assertEqual(self.probes(), [0, 0, 0])

    def test_only_links_through_a_nat_are_watched(self) -> None:
        """Not those of the local network, of a public host, or within a tunnel; and they cost no timer."""
        self.add(
            FakeLink("192.168.1.3"),
            FakeLink("5.5.1.1", "5.5.2.2"),
            FakeLink("5.5.1.1", path_kind=PathKind.TUNNEL),
            FakeLink("127.0.0.1", "127.0.0.1"),
        )
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_links_to_two_networks_that_break_mean_that_the_path_has(self) -> None:
        links = self.several(4)
        self.lose(links[0])
        self.assertEqual((self.broken, sum(self.probes())), (0, 1))
        self.lose(links[1])
        self.assertEqual(self.broken, 1)
        self.assertEqual([each.within for each in links[2:]], [ANSWER_AFTER_BREAKS_SECONDS] * 2)

    def test_link_that_owes_an_answer_when_two_networks_have_broken_is_cut_at_once(self) -> None:
        """Whether it was doubted before or is just after: a router has forgotten it like the others."""
        links = self.several(5)
        links[2].is_doubted = True
        self.lose(links[0])
        self.lose(links[1])
        self.assertEqual([each.cut for each in links[2:]], [True, False, False])
        links[3].is_doubted = True
        self.watch.link_doubted(cast(ILink, links[3]))
        self.assertEqual([each.cut for each in links[3:]], [True, False])
        self.clock.advance(ANSWER_AFTER_BREAKS_SECONDS)
        links[4].is_doubted = True
        self.watch.link_doubted(cast(ILink, links[4]))
        self.assertFalse(links[4].cut)

    def test_link_that_was_asked_when_two_networks_broke_has_its_time(self) -> None:
        """Doubt comes sooner, since a path is known to have broken; a slow one has not."""
        links = self.several(3)
        self.lose(links[0])
        self.lose(links[1])
        self.clock.advance(SUSPECTED_DOUBT_AFTER_SECONDS)
        links[2].is_doubted, links[2].owed_for = True, SUSPECTED_DOUBT_AFTER_SECONDS
        self.watch.link_doubted(cast(ILink, links[2]))
        self.assertEqual((links[2].within, links[2].cut), (ANSWER_AFTER_BREAKS_SECONDS, False))

    def test_link_that_owes_an_answer_is_not_cut_for_the_break_of_one_network(self) -> None:
        """It may merely be slow: it has as long as all others."""
        links = self.several(3)
        links[1].is_doubted = True
        self.lose(links[0])
        self.watch.link_doubted(cast(ILink, links[1]))
        self.assertEqual((self.broken, links[1].cut), (1, False))
        self.assertEqual(links[1].within, ANSWER_AFTER_BREAKS_SECONDS)

    def test_breaks_of_one_network_are_one(self) -> None:
        """A peer with many names, or hosts, has no more to say than one."""
        one, other = FakeLink("5.5.1.1"), FakeLink("5.5.1.2")
        self.add(one, other)
        self.several(3)
        self.lose(one)
        self.lose(other)
        self.assertEqual(self.broken, 0)

    def test_breaks_that_are_far_apart_mean_nothing(self) -> None:
        links = self.several(4)
        self.lose(links[0])
        self.clock.advance(BREAKS_WITHIN_SECONDS)
        self.lose(links[1])
        self.assertEqual(self.broken, 0)

    def test_links_that_end_otherwise_mean_nothing(self) -> None:
        """Peers that say why, that are given up, or that were never let in."""
        links = self.several(6)
        self.lose(links[0], LinkClosed(CloseReason.CONNECTION_LOST, by_peer=True))
        self.lose(links[1], LinkClosed(CloseReason.INACTIVE))
        self.lose(links[2], LinkClosed(CloseReason.STOPPING))
        links[3].is_verified = False
        self.lose(links[3])
        self.assertEqual((self.broken, self.probes()), (0, [0, 0]))

    def test_path_breaks_once_in_a_while(self) -> None:
        """A peer that breaks its links cannot keep the others busy."""
        links = self.several(20)
        for each in links[:12]:
            self.lose(each)
        self.assertEqual(self.broken, 1)

    def test_silent_link_has_all_probed_if_nothing_else_comes(self) -> None:
        links = self.several(4)
        self.watch.link_doubted(cast(ILink, links[0]))
        self.watch.link_doubted(cast(ILink, links[1]))
        self.assertEqual(self.probes(), [1, 1, 1, 1])

    def test_silent_link_says_nothing_about_the_others_while_they_bring_something(self) -> None:
        """What they brought may be from before the path broke: one of them is asked."""
        links = self.several(4)
        links[3].has_heard = True
        self.watch.link_doubted(cast(ILink, links[0]))
        self.assertEqual(sum(self.probes()), 1)
        links[3].has_heard = True
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(sum(self.probes()), 1)

    def test_silence_of_one_link_has_the_next_one_asked_and_then_all(self) -> None:
        """A second before it would be doubted. The silent link itself is probed already."""
        links = self.several(4)
        links[3].has_heard = True  # before the path broke, perhaps
        self.watch.link_silent(cast(ILink, links[0]))
        self.assertEqual(self.probes(), [0, 1, 0, 0])
        self.watch.link_silent(cast(ILink, links[2]))
        self.assertEqual(self.probes(), [0, 1, 0, 0])
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(self.probes(), [1, 2, 1, 1])

    def test_answer_of_a_slow_link_is_waited_for(self) -> None:
        """As long as TCP waits: else all would be probed all the time."""
        links = self.several(3)
        links[1].round_trip.smoothed, links[1].round_trip.variation = 0.4, 0.1
        self.watch.link_silent(cast(ILink, links[0]))
        self.clock.advance(0.75)
        self.assertEqual(self.probes(), [0, 1, 0])
        self.clock.advance(0.1)
        self.assertEqual(self.probes(), [1, 2, 1])

    def test_all_are_probed_again_soon(self) -> None:
        """The silence that made it happen may have been another one."""
        links = self.several(2)
        self.watch.link_doubted(cast(ILink, links[0]))
        self.clock.advance(MIN_PROBES_INTERVAL_SECONDS)
        before = self.probes()
        self.watch.link_doubted(cast(ILink, links[0]))
        self.assertEqual(self.probes(), [each + 1 for each in before])

    def test_silence_of_a_link_that_leads_through_no_nat_means_nothing(self) -> None:
        self.several(2)
        self.watch.link_silent(cast(ILink, FakeLink("192.168.1.3")))
        self.assertEqual(self.probes(), [0, 0])

    def test_break_of_one_network_and_silence_mean_that_the_path_has_broken(self) -> None:
        """Where there is one public peer, no second network can break."""
        links = self.several(3)
        self.lose(links[0])
        self.watch.link_doubted(cast(ILink, links[1]))
        self.assertEqual(self.broken, 1)
        self.assertEqual([each.within for each in links[1:]], [ANSWER_AFTER_BREAKS_SECONDS] * 2)

    def test_links_have_to_answer_although_all_were_probed_just_before(self) -> None:
        links = self.several(4)
        self.watch.link_doubted(cast(ILink, links[3]))
        self.lose(links[0])
        self.lose(links[1])
        self.assertEqual(self.broken, 1)
        self.assertEqual([each.within for each in links[2:]], [ANSWER_AFTER_BREAKS_SECONDS] * 2)

    def test_nothing_is_left_without_links_or_after_a_stop(self) -> None:
        (link,) = self.several(1)
        self.lose(link, LinkClosed(CloseReason.STOPPING))
        self.clock.advance(SILENCE_SECONDS)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.several(1)
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
