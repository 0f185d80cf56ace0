"""Accepted connections that nobody answers for: how many there are, and who makes room."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.accept.unverified import MAX_UNCONFIRMED_PER_NAME, UnverifiedConnections
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason, LinkClosed
from routing_crust.names import Name

from ..addresses import at, name


class FakeLink:
    """A link of which only the peer and the confirmation matter."""

    is_confirmed = False
    is_expected = False

    def __init__(self, peer: Name) -> None:
        self.peer = peer


class UnverifiedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.begin(8)

    def begin(self, most: int) -> None:
        self.door = UnverifiedConnections(Settings(max_unverified_links=most, hello_timeout=10))
        self.cut: list[str] = []
        self.made: dict[str, Deferred[Any]] = {}

    def come(self, text: str) -> Deferred[Any]:
        """A connection, which makes room for itself."""
        peer = at(text)
        made: Deferred[Any] = Deferred()

        def abort(reason: CloseReason, detail: str) -> None:
            self.cut.append(text)
            if not made.called:
                made.errback(LinkClosed(reason, detail))

        self.door.make_room(peer)
        self.door.add(peer, made, abort)
        made.addErrback(lambda failure: failure.trap(LinkClosed) and None)
        self.made[text] = made
        return made

    def link(self, text: str, peer: Name) -> FakeLink:
        """A connection that becomes a link."""
        link = FakeLink(peer)
        self.come(text).callback(link)
        return link

    def test_oldest_of_the_most_crowded_address_makes_room(self) -> None:
        for port in range(1, 6):
            self.come(f"192.0.2.1:{port}")
        for text in ("198.51.100.1:1", "198.51.100.1:2", "203.0.113.1:1"):
            self.come(text)
        self.come("203.0.113.9:1")
        self.assertEqual(self.cut, ["192.0.2.1:1"])
        self.assertEqual(self.door.total(), 8)

    def test_link_that_is_expected_makes_room_after_its_equals(self) -> None:
        links = [self.link(f"192.0.{each}.1:1", name(each)) for each in range(8)]
        links[0].is_expected = True
        self.come("198.51.100.1:1")
        self.assertEqual(self.cut, ["192.0.1.1:1"])

    def test_expected_link_of_a_crowd_makes_room_all_the_same(self) -> None:
        links = [self.link(f"192.0.2.1:{each}", name(each)) for each in range(1, 3)]
        for each in links:
            each.is_expected = True
        for each in range(6):
            self.come(f"198.51.{each}.1:1")
        self.come("203.0.113.1:1")
        self.assertEqual(self.cut, ["192.0.2.1:1"])

    def test_expected_links_that_are_most_of_all_keep_nobody_out(self) -> None:
        for each in range(6):
            self.link(f"192.0.{each}.1:1", name(each)).is_expected = True
        for each in range(3):
            self.come(f"198.51.{each}.1:1")
        self.assertEqual(self.cut, ["192.0.0.1:1"])

    def test_addresses_of_one_24_are_one_crowd(self) -> None:
        """So are the /56s of one /48; within it the fullest address goes first."""
        for text in ("192.0.2.1:1", "192.0.2.2:1", "192.0.2.2:2", "192.0.2.3:1"):
            self.come(text)
        for number in range(4):
            self.come(f"[2001:db8:0:{number}00::1]:1")
        self.come("[2001:db8:0:900::1]:1")
        self.come("198.51.100.1:1")
        self.come("198.51.100.1:2")
        self.assertEqual(self.cut, ["[2001:db8:0:000::1]:1", "192.0.2.2:1", "[2001:db8:0:100::1]:1"])

    def test_flood_of_many_prefixes_crowds_out_itself(self) -> None:
        """A newcomer stays while each of 7 prefixes that hold all the rest opens one more."""
        for number in range(28):
            self.come(f"10.0.{number % 7}.1:{number + 1}")
        self.come("192.0.2.1:1")
        for number in range(7):
            self.come(f"10.0.{number}.1:99")
        self.assertNotIn("192.0.2.1:1", self.cut)

    def test_finished_handshake_counts_as_new(self) -> None:
        self.begin(2)
        first = self.come("192.0.2.1:1")
        self.come("192.0.2.1:2")
        first.callback(FakeLink(name(1)))
        self.come("192.0.2.1:3")
        self.assertEqual(self.cut, ["192.0.2.1:2"])

    def test_link_counts_until_it_is_confirmed_or_lost(self) -> None:
        links = [self.link(f"192.0.2.1:{number}", name(number)) for number in range(1, 4)]
        self.assertEqual(self.door.total(), 3)
        links[0].is_confirmed = True
        self.assertEqual(self.door.total(), 2)
        self.door.link_lost(links[1])
        self.door.link_lost(links[1])
        self.assertEqual(self.door.total(), 1)

    def test_one_name_has_few_links_wherever_it_comes_from(self) -> None:
        self.begin(100)
        for number in range(1, MAX_UNCONFIRMED_PER_NAME + 3):
            self.link(f"192.0.{number}.1:{number}", name(1))
        self.link("203.0.113.1:1", name(2))
        self.assertEqual(self.cut, ["192.0.1.1:1", "192.0.2.1:2"])
        self.assertEqual(self.door.total(), MAX_UNCONFIRMED_PER_NAME + 1)

    def test_only_links_make_room_for_links(self) -> None:
        self.come("192.0.2.1:1")
        self.assertFalse(self.door.cut_one(at("198.51.100.1:1"), link=True))
        self.link("192.0.2.1:2", name(1))
        self.assertTrue(self.door.cut_one(at("198.51.100.1:1"), link=True))
        self.assertEqual(self.cut, ["192.0.2.1:2"])

    def test_those_who_come_to_a_crowd_have_less_time(self) -> None:
        for number in range(1, 5):
            self.come(f"192.0.2.{number}:1")
        self.assertEqual(self.door.hello_timeout, 10)
        self.come("192.0.2.5:1")
        self.assertEqual(self.door.hello_timeout, 5)

    @settings(deadline=None, derandomize=True)
    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30)), max_size=60))
    def test_count_is_empty_when_all_are_gone_in_any_order(self, steps: list[tuple[int, int]]) -> None:
        self.begin(5)
        hosts = ("192.0.2.1", "192.0.2.2", "[2001:db8::1]", "[fe80::1%eth0]")
        links: list[FakeLink] = []
        for number, (what, which) in enumerate(steps):
            if what == 0:
                self.come(f"{hosts[which % 4]}:{number + 1}")
            elif what == 1:
                links.append(self.link(f"{hosts[which % 4]}:{number + 1}", name(which % 3)))
            elif what == 2 and links:
                self.door.link_lost(links.pop(which % len(links)))
            elif links:
                links[which % len(links)].is_confirmed = True
            self.assertLessEqual(self.door.total(), 5)
        for made in self.made.values():
            if not made.called:
                made.errback(LinkClosed(CloseReason.CONNECTION_LOST))
        for link in links:
            self.door.link_lost(link)
        self.assertEqual((self.door.total(), self.door._entries, self.door._by_link), (0, {}, {}))


class OriginTests(SynchronousTestCase):
    def test_origin_is_an_ipv4_address_or_an_ipv6_56(self) -> None:
        self.assertEqual(Endpoint("192.0.2.1", 7).origin, "192.0.2.1")
        self.assertEqual(at("[2001:db8:0:12ff::1]:7").origin, "2001:db8:0:1200::/56")
        self.assertEqual(at("[fe80::1%eth0]:7").origin, "fe80::/56")
