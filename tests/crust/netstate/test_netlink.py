"""What the kernel tells of the network, and what of it matters."""

from __future__ import annotations

from struct import pack

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.netstate.netlink import MAX_INTERFACES, NetworkNews

UP, RUNNING, LOWER_UP = 0x1, 0x40, 0x10000
WORKING = UP | RUNNING | LOWER_UP


def message(kind: int, body: bytes, length: int | None = None) -> bytes:
    """One message with its header, padded."""
    size = 16 + len(body) if length is None else length
    return pack("=IHHII", size, kind, 0, 0, 0) + body + bytes(-len(body) % 4)


def link(
    index: int, flags: int, changed: int = 0, kind: int = 16, family: int = 0, more: bytes = b""
) -> bytes:
    """An interface is there, or gone."""
    return message(kind, pack("=BxHiII", family, 1, index, flags, changed) + more)


def address(kind: int = 20) -> bytes:
    """An address has come, or gone."""
    return message(kind, pack("=BBBBI", 2, 24, 0, 0, 3) + b"\x08\0\x02\0\x0a\0\0\x01")


def route(kind: int = 24, table: int = 254, flags: int = 0) -> bytes:
    """A route has come, or gone."""
    return message(kind, pack("=8BI", 2, 0, 0, 0, table, 4, 0, 1, flags))


class NewsTests(SynchronousTestCase):
    """One message after another."""

    def setUp(self) -> None:
        self.news = NetworkNews()

    def test_messages_about_addresses_are_news(self) -> None:
        self.assertTrue(self.news.matters(address(20)))
        self.assertTrue(self.news.matters(address(21)))

    def test_routes_to_our_own_addresses_are_no_news(self) -> None:
        """Those to our own addresses come with these; some the kernel keeps for itself."""
        self.assertTrue(self.news.matters(route(24)))
        self.assertTrue(self.news.matters(route(25)))
        self.assertFalse(self.news.matters(route(table=255)))
        self.assertFalse(self.news.matters(route(flags=0x200)))

    def test_interface_is_news_when_it_starts_or_stops_working(self) -> None:
        """What matters is whether one works, not its counters, or who is on a bridge."""
        self.assertTrue(self.news.matters(link(3, WORKING, 0xFFFFFFFF)))
        self.assertFalse(self.news.matters(link(3, WORKING, 0)))
        self.assertFalse(self.news.matters(link(3, WORKING | 0x1000, 0x1000)))
        self.assertTrue(self.news.matters(link(3, UP, RUNNING | LOWER_UP)))
        self.assertFalse(self.news.matters(link(3, WORKING, 0, family=7)))
        self.assertTrue(self.news.matters(link(3, WORKING, 0)))
        self.assertTrue(self.news.matters(link(3, WORKING, kind=17)))

    def test_unknown_interface_is_judged_by_its_change(self) -> None:
        """The removal of one that is down is no news."""
        self.assertFalse(self.news.matters(link(4, WORKING, 0)))
        self.assertTrue(self.news.matters(link(5, 0, UP)))
        self.assertFalse(self.news.matters(link(5, 0, kind=17)))
        self.assertTrue(self.news.matters(link(6, 0, kind=17)))

    def test_datagram_may_hold_several_messages(self) -> None:
        self.assertTrue(self.news.matters(route(table=255) + address() + link(1, WORKING, 0)))
        self.assertTrue(self.news.matters(link(8, WORKING, more=b"abc") + address()))
        self.assertFalse(self.news.matters(route(table=255) * 3))

    def test_overrun_of_the_socket_is_news(self) -> None:
        self.assertTrue(self.news.matters(message(4, b"")))

    def test_other_messages_are_no_news(self) -> None:
        self.assertFalse(self.news.matters(message(2, bytes(40)) + message(3, b"") + message(28, bytes(30))))

    def test_message_with_a_bad_length_ends_the_reading(self) -> None:
        """A message that is too short or too long ends the reading, and raises nothing."""
        for bad in (
            b"",
            b"\1\2\3",
            message(20, b"", length=0),
            message(20, b"", length=15),
            message(20, bytes(8), length=4000),
            message(20, bytes(7)),
            message(16, bytes(15)),
            message(24, bytes(11)),
        ):
            self.assertFalse(self.news.matters(bad + address()[:8]))

    def test_number_of_interfaces_is_bounded(self) -> None:
        """However many interfaces come and go."""
        for index in range(3 * MAX_INTERFACES):
            self.news.matters(link(index, WORKING, 0))
        self.assertEqual(len(self.news._working), MAX_INTERFACES)

    @given(st.binary(max_size=300))
    def test_reading_arbitrary_bytes_never_raises(self, data: bytes) -> None:
        self.assertIsInstance(self.news.matters(data), bool)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from([2, 3, 4, 16, 17, 20, 21, 24, 25, 28, 65535]),
                st.binary(max_size=60),
                st.none() | st.integers(0, 100),
            ),
            max_size=8,
        )
    )
    def test_reading_arbitrary_messages_never_raises(
        self, messages: list[tuple[int, bytes, int | None]]
    ) -> None:
        """Messages of all kinds, with any contents and lengths."""
        data = b"".join(message(*each) for each in messages)
        self.assertIsInstance(self.news.matters(data), bool)
