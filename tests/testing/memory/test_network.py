"""The network in memory: dials, and what a link is when it is new."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from routing_crust.config import Role
from routing_crust.crust.interfaces import ICrust, ICrustEvents, ILink
from routing_crust.endpoints import Contact, Direction, Endpoint
from routing_crust.errors import CannotListen, CloseReason, ConnectFailed, LimitReached
from routing_crust.testing.memory.network import MemoryCrust

from .memory_case import ANYWHERE, MemoryTestCase


class DialTests(MemoryTestCase):
    """L{ICrust.connect} and what it makes."""

    def test_interfaces(self) -> None:
        """Crusts and links offer what the interfaces ask."""
        here, there = self.pair()
        verifyObject(ICrust, here.crust)
        verifyObject(ILink, here)
        verifyObject(ILink, there)
        verifyObject(ICrustEvents, self.recorder(here))
        self.assertIn(there.crust.identity.name.short, repr(here))
        self.assertIn(here.crust.host, repr(here.crust))

    def test_facts(self) -> None:
        """Both ends know each other and share a binding; token and flag are the dialling end's."""
        one, other = self.crust(), self.crust()
        first, second = self.dial(one, other, b"token"), self.dial(one, other, b"another")
        self.network.settle(1)
        here, again = self.successResultOf(first), self.successResultOf(second)
        there = other.links[0] if other.links[0].binding == here.binding else other.links[1]
        self.assertEqual((here.token, there.token, again.token), (b"token", b"", b"another"))
        self.assertEqual((here.bootstrap, there.bootstrap), (False, False))
        self.assertEqual((here.initiator, there.initiator), (True, False))
        self.assertEqual((here.direction, there.direction), (Direction.CONNECTED, Direction.ACCEPTED))
        self.assertEqual((here.peer, there.peer), (other.identity.name, one.identity.name))
        self.assertEqual(here.public_key, other.identity.public_key)
        self.assertEqual(len(here.binding), 32)
        self.assertNotEqual(here.binding, again.binding)
        self.assertEqual(here.connection.peer, other.endpoints[0])
        self.assertEqual(here.connection.local, there.connection.peer)
        self.assertNotEqual(here.connection, again.connection)

    def test_reported_before_the_deferred(self) -> None:
        """The dialling side hears on_connect, then its Deferred fires, in the same turn."""
        one, other = self.crust(), self.crust()
        seen: list[tuple[str, ...]] = []
        self.dial(one, other).addCallback(lambda link: seen.extend(self.recorders[one].of("connect")))
        self.network.settle(1)
        self.assertEqual(seen, [(one.links[0],)])

    def test_either_end_may_be_first(self) -> None:
        """Which end hears of the link first is up to the seed, and the same for the same seed."""

        def first_to_hear(seed: int) -> str:
            self.make_network(seed)
            one, other = self.crust(), self.crust()
            self.dial(one, other)
            self.network.run_until(lambda: one.links or other.links)
            return "connect" if one.links else "accept"

        order = [first_to_hear(seed) for seed in range(20)]
        self.assertEqual(set(order), {"connect", "accept"})
        self.assertEqual(order, [first_to_hear(seed) for seed in range(20)])

    def failure(self, one: MemoryCrust, *endpoints: Endpoint, peer: MemoryCrust | None = None) -> str:
        dialled = one.connect(endpoints, peer and peer.identity.name, b"", False)
        self.network.run_until(lambda: dialled.called, 100)
        return str(self.failureResultOf(dialled, ConnectFailed).value)

    def test_failures(self) -> None:
        """Nobody at an address, nobody listening, another peer, ourselves, and no address at all."""
        one, other, third = self.crust(), self.crust(), self.crust(start=False)
        self.assertIn("no route", self.failure(one, *ANYWHERE))
        self.assertIn("refused", self.failure(one, *third.endpoints))
        self.assertIn("another node", self.failure(one, *other.endpoints, peer=third))
        self.assertIn("ourselves", self.failure(one, *one.endpoints))
        self.assertIn("no endpoint", self.failure(one))
        self.network.block(one, other)
        several = self.failure(one, *other.endpoints, *ANYWHERE)
        self.assertIn("no route", several)
        self.assertIn("timed out", several)
        self.assertEqual(self.recorders[other].of("accept"), [])

    def test_block(self) -> None:
        """A blocked dial times out; the other direction works, and this one again after unblock."""
        one, other = self.crust(), self.crust()
        self.network.block(one, other)
        self.assertIn("timed out", self.failure(one, *other.endpoints))
        self.assertEqual(self.clock.seconds(), one.settings.dial_timeout)
        self.dial(other, one)
        self.network.run_until(lambda: one.links)
        self.network.unblock(one, other)
        self.dial(one, other)
        self.network.run_until(lambda: len(one.links) == 2)

    def test_race(self) -> None:
        """Endpoints are raced; a failed one starts the next at once, a silent one after dial_stagger."""
        one, other, silent = self.crust(), self.crust(), self.crust()
        self.network.block(one, silent)
        for first, seconds in ((ANYWHERE, 0.0), (silent.endpoints, one.settings.dial_stagger)):
            start = self.clock.seconds()
            dialled = one.connect((*first, *other.endpoints), other.identity.name, b"", False)
            self.network.run_until(lambda dialled=dialled: dialled.called)
            self.assertIs(self.successResultOf(dialled), one.links[-1])
            self.assertApproximates(self.clock.seconds() - start, seconds + 0.04, 0.02)
        self.network.settle(20)
        self.assertEqual((len(one.links), self.network.dials), (2, 4))

    def test_shared(self) -> None:
        """Calls for a peer with the same token share a dial; cancelling one leaves it to the other."""
        one, other = self.crust(), self.crust()
        first, second, third = (self.dial(one, other, token) for token in (b"a", b"a", b"b"))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.network.settle(1)
        self.assertEqual(self.successResultOf(second).token, b"a")
        self.assertEqual(self.successResultOf(third).token, b"b")
        self.assertEqual((self.network.dials, len(other.links)), (2, 2))

    def test_cancel(self) -> None:
        """When nobody waits any more, the dial stops; a link that the other end has seen is reset."""
        one, other = self.crust(), self.crust()
        self.network.hold((other, one))
        dialled = self.dial(one, other)
        self.network.run_until(lambda: other.links)
        dialled.cancel()
        self.failureResultOf(dialled, CancelledError)
        self.network.release((other, one))
        self.network.settle(1)
        self.assertEqual(self.recorders[one].of("connect"), [])
        self.assertEqual(self.recorders[one].of("lost"), [])
        self.assertEqual(self.recorders[other].losses, [(CloseReason.CONNECTION_LOST, False)])

    def test_lost_in_the_handshake(self) -> None:
        """A link whose other end goes before this one is up is a failed dial, and not an event."""
        one, other = self.crust(), self.crust()
        self.network.hold((other, one))
        dialled = self.dial(one, other)
        self.network.run_until(lambda: other.links)
        other.links[0].abort(CloseReason.NOT_WANTED)
        self.network.release((other, one))
        self.network.settle(1)
        self.assertIn("handshake", str(self.failureResultOf(dialled, ConnectFailed).value))
        self.assertEqual([event[0] for event in self.recorders[one].events], ["external"])

    def test_dial_limits(self) -> None:
        """Each limit on dials names its setting; what was remembered does not count as a stranger's."""
        one = self.crust(max_dials=2, max_dials_per_peer=1, stranger_dials=1)
        others = [self.crust() for _ in range(3)]
        self.dial(one, others[0])
        again = self.failureResultOf(self.dial(one, others[0], b"other"), LimitReached)
        self.assertEqual(again.value.setting, "max_dials_per_peer")
        self.dial(one, others[1])
        self.assertEqual(
            self.failureResultOf(self.dial(one, others[2]), LimitReached).value.setting, "max_dials"
        )
        self.network.settle(1)
        one.connect(others[0].endpoints, None, b"", True)
        second = self.failureResultOf(one.connect(others[1].endpoints, None, b"", True), LimitReached)
        self.assertEqual(second.value.setting, "stranger_dials")
        one.remember(Contact(others[1].endpoints[0], others[1].identity.name))
        proven = one.connect(others[1].endpoints, None, b"", True)
        self.network.settle(1)
        self.successResultOf(proven)

    def test_unverified_limits(self) -> None:
        """A crust with too many unverified links, in all or from one address, takes no more."""
        for setting, dialled_by in (("max_unverified_links", 2), ("max_unverified_per_prefix", 1)):
            other = self.crust(**{setting: 1})
            self.recorders[other].verify = False
            one, another = self.crust(), self.crust()
            self.dial(one, other)
            self.network.settle(1)
            refused = self.dial(another if dialled_by == 2 else one, other, b"again")
            self.network.settle(1)
            self.failureResultOf(refused, ConnectFailed)
            other.links[0].verified()
            allowed = self.dial(another, other)
            self.network.settle(1)
            self.successResultOf(allowed)

    def test_listening(self) -> None:
        """A taken port is an error, a client listens nowhere, and addresses can be given."""
        given = (Endpoint("192.0.2.1", 7000),)
        one = self.crust(endpoints=given)
        self.assertEqual((one.endpoints, one.on_link_networks), (given, ()))
        self.assertRaises(CannotListen, self.crust, endpoints=given)
        self.assertRaises(RuntimeError, one.start, self.recorders[one])
        client = self.crust(role=Role.CLIENT)
        dialled = self.dial(client, one)
        self.network.settle(1)
        self.assertEqual(self.successResultOf(dialled).connection.local.host, client.host)
        self.assertEqual((client.endpoints, client.on_link_networks), ((), ("198.18.0.0/15",)))
        self.assertEqual(self.recorders[client].of("external"), [])
        self.assertEqual(self.recorders[one].of("external"), [(given,)])
