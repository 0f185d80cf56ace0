"""What crust does when the network has changed, or its host has slept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from routing_crust.crust import platform
from routing_crust.crust.mapping.portmapper import PortMapper
from routing_crust.crust.platform import SystemPlatform
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason, ConnectFailed
from routing_crust.hosts.interfaces import InterfacePort
from routing_crust.timing.shares import OURSELVES

from .addresses import HOST, at, host_address, name
from .services import ServiceTests

LAN = host_address("eth9", 9, "127.0.0.1/8")
GONE = host_address("eth9", 9, "127.0.0.2/8")


class Watch:
    """Tells when a test says so."""

    def __init__(self, changed: Callable[[str], object]) -> None:
        self.tell = changed
        self.running = False

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False


class Mapper(PortMapper):
    """Counts how often it is told."""

    changes = 0
    listening: tuple[Endpoint, ...] = ()

    def network_changed(self) -> None:
        self.changes += 1

    def start(self, listening: Sequence[Endpoint]) -> None:
        self.listening = tuple(listening)
        super().start(listening)


class ChangeTests(ServiceTests):
    def setUp(self) -> None:
        super().setUp()
        self.watches: list[Watch] = []
        self.patch(platform, "PortMapper", Mapper)

    def platform(self) -> SystemPlatform:
        watched = super().platform()
        self.patch(watched, "net_watch", self.make_watch)
        return watched

    def make_watch(self, changed: Callable[[str], object]) -> Watch:
        self.watches.append(Watch(changed))
        return self.watches[-1]

    def change(self) -> None:
        """The network of the first node changes."""
        self.watches[0].tell("something has changed")

    async def test_network_is_watched_as_long_as_crust_runs(self) -> None:
        crust, events = self.crust(1)
        (watch,) = self.watches
        self.assertFalse(watch.running)
        crust.start(events)
        self.assertTrue(watch.running)
        await crust.stop()
        self.assertFalse(watch.running)

    async def test_change_is_reported_from_its_own_turn_and_to_the_mapper(self) -> None:
        """The layer above hears of it, in a turn of its own; the mapper looks after its mappings."""
        crust, events = self.start(1)
        before = crust._mapper.changes  # type: ignore[attr-defined]
        self.change()
        self.assertEqual(events.of("changed"), [])
        await events.next("changed")
        self.assertEqual(crust._mapper.changes, before + 1)  # type: ignore[attr-defined]

    async def test_new_addresses_are_read_and_reported(self) -> None:
        """The addresses are read again, and others are told of new ones."""
        crust, events = self.start(1, listen=(at("0.0.0.0:0"),))
        await events.next("endpoints")
        self.host = (*HOST, host_address("wlan0", 4, "9.9.9.9/24"))
        self.change()
        (endpoints,) = await events.next("endpoints")
        self.assertIn("9.9.9.9", [each.host for each in endpoints])
        self.assertEqual(crust.endpoints, endpoints)

    async def test_routers_are_asked_for_ports_that_came_later(self) -> None:
        """The interface has an address now."""
        # an address of its own, at which the port is free
        free = self.closed_port().port
        crust, events = self.start(1, listen=(InterfacePort("eth7", free),))
        self.assertEqual(crust._mapper.listening, ())  # type: ignore[attr-defined]
        self.host = (*HOST, host_address("eth7", 7, "127.77.0.7/8"))
        self.change()
        await events.next("changed")
        self.assertEqual(crust._mapper.listening, (Endpoint("127.77.0.7", free),))  # type: ignore[attr-defined]
        two, _ = self.start(2)
        await two.connect(crust._listening, name(1), b"", OURSELVES)

    async def test_new_addresses_are_listened_on_before_a_bootstrap(self) -> None:
        """Not all systems report that there are new ones."""
        free = self.closed_port().port
        crust, _ = self.start(1, listen=(InterfacePort("eth7", free),))
        self.host = (*HOST, host_address("eth7", 7, "127.77.0.7/8"))
        crust.bootstrap()
        self.assertEqual(crust._listening, (Endpoint("127.77.0.7", free),))

    async def test_what_closed_links_showed_of_our_ports_is_in_doubt(self) -> None:
        crust, events = self.start(1)
        doubts: list[None] = []
        self.patch(crust._outside, "network_changed", lambda: doubts.append(None))
        self.change()
        await events.next("changed")
        self.assertEqual(doubts, [None])

    async def test_link_from_a_lost_address_is_cut_and_the_others_stay(self) -> None:
        """A link from an address that the host has lost is gone at once; the others stay."""
        self.host = (LAN, GONE)
        one, events = self.start(1)
        two, _ = self.start(2)
        two_more, more = self.start(3, listen=(at("127.0.0.2:0"),))
        await two.connect(one.endpoints, name(1), b"", OURSELVES)
        (kept,) = await events.next("accept")
        await one.connect(two_more._listening, name(3), b"", OURSELVES)
        (lost,) = await more.next("accept")
        self.host = (LAN,)
        self.watches[2].tell("an address is gone")
        link, reason = await more.next("lost")
        self.assertIs(link, lost)
        self.assertIs(reason.reason, CloseReason.CONNECTION_LOST)
        self.assertEqual(reason.detail, "this host has lost the address 127.0.0.2")
        self.change()
        await events.next("changed")
        self.assertIn(kept, one._links)

    async def test_no_link_is_cut_when_addresses_cannot_be_read(self) -> None:
        link, _ = await self.pair()
        self.one._host_addresses = self.unreadable
        self.change()
        await self.events.next("changed")
        self.assertIn(link, self.one._links)

    def unreadable(self) -> tuple[()]:
        raise OSError("no")

    async def test_every_other_link_has_to_answer(self) -> None:
        """Every other link has to show that its peer is still there."""
        link, accepted = await self.pair()
        link.verified()
        accepted.verified()
        probed: list[object] = []

        def must_answer(of: object, within: float) -> None:
            probed.append(of)

        self.patch(type(link), "must_answer", must_answer)
        self.change()
        self.assertEqual(probed, [link])

    async def test_failed_address_may_be_dialled_at_once_after_a_change(self) -> None:
        """What failed before may be dialled again at once."""
        one, _ = self.start(1)
        target = self.closed_port()
        for expected in ("connection refused", "left alone", "left alone"):
            with self.assertRaisesRegex(ConnectFailed, expected):
                await one.connect((target,), name(2), b"", OURSELVES)
        self.change()
        with self.assertRaisesRegex(ConnectFailed, "connection refused"):
            await one.connect((target,), name(2), b"", OURSELVES)
