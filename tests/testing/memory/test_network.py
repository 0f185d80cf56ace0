"""The network in memory: dials, and what a link is when it is new."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from routing_crust.config import Role
from routing_crust.crust.dial import limits
from routing_crust.crust.interfaces import ICrust, ICrustEvents, ILink
from routing_crust.endpoints import Direction, Endpoint
from routing_crust.errors import CannotListen, CloseReason, ConnectFailed, LimitReached
from routing_crust.limits import DIAL_STAGGER_SECONDS, DIAL_TIMEOUT_SECONDS
from routing_crust.testing.memory.crust import MemoryCrust
from routing_crust.timing.shares import OURSELVES
from tests.crust.addresses import STRANGER

from .memory_case import ANYWHERE, MemoryTestCase

NOBODY = (Endpoint("198.18.99.99", 5483),)


class DialTests(MemoryTestCase):
    """L{ICrust.connect} and what it makes."""

    def test_crusts_and_links_provide_the_interfaces(self) -> None:
        """Crusts and links offer what the interfaces ask."""
        here, there = self.pair()
        verifyObject(ICrust, self.crust_of(here))
        verifyObject(ILink, here)
        verifyObject(ILink, there)
        verifyObject(ICrustEvents, self.recorder(here))
        self.assertIn(self.crust_of(here).host, repr(self.crust_of(here)))

    def test_both_ends_know_each_other_and_share_a_binding(self) -> None:
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
        self.assertEqual(len(here.binding), 32)
        self.assertNotEqual(here.binding, again.binding)
        self.assertEqual(here.connection.peer, other.endpoints[0])
        self.assertEqual(here.connection.local, there.connection.peer)
        self.assertNotEqual(here.connection, again.connection)

    def test_link_is_reported_before_the_deferred_fires(self) -> None:
        """The dialling side hears on_connect, then its Deferred fires, in the same turn."""
        one, other = self.crust(), self.crust()
        seen: list[tuple[str, ...]] = []
        self.dial(one, other).addCallback(lambda link: seen.extend(self.recorders[one].of("connect")))
        self.network.settle(1)
        self.assertEqual(seen, [(one.links[0],)])

    def failure(self, one: MemoryCrust, *endpoints: Endpoint, peer: MemoryCrust | None = None) -> str:
        dialled = one.connect(endpoints, peer and peer.identity.name, b"", OURSELVES)
        self.network.run_until(lambda: dialled.called, 100)
        return str(self.failureResultOf(dialled, ConnectFailed).value)

    def test_each_failed_dial_says_why(self) -> None:
        """Nobody at an address, nobody listening, another peer, ourselves, and no address at all."""
        one, other, third = self.crust(), self.crust(), self.crust(start=False)
        self.assertIn("no route", self.failure(one, *ANYWHERE))
        self.assertIn("refused", self.failure(one, *third.listening))
        self.assertIn("answered instead of", self.failure(one, *other.endpoints, peer=third))
        self.assertIn("no link could be made", self.failure(one, *one.endpoints))
        self.assertIn("no endpoint", self.failure(one))
        self.network.block(one, other)
        several = self.failure(one, *other.endpoints, *NOBODY)
        self.assertIn("no route", several)
        self.assertIn("no answer", several)
        self.assertEqual(self.recorders[other].of("accept"), [])

    def test_blocked_dial_times_out_in_one_direction(self) -> None:
        """A blocked dial times out; the other direction works, and this one again after unblock."""
        one, other = self.crust(), self.crust()
        self.network.block(one, other)
        self.assertIn("no answer", self.failure(one, *other.endpoints))
        self.assertEqual(self.clock.seconds(), DIAL_TIMEOUT_SECONDS)
        self.dial(other, one)
        self.network.run_until(lambda: one.links)
        self.network.unblock(one, other)
        self.dial(one, other)
        self.network.run_until(lambda: len(one.links) == 2)

    def test_endpoints_are_raced(self) -> None:
        """Endpoints are raced; a failed one starts the next at once, a silent one after dial_stagger."""
        one, other, silent = self.crust(), self.crust(), self.crust()
        self.network.block(one, silent)
        for first, seconds in ((NOBODY, 0.02), (silent.endpoints, DIAL_STAGGER_SECONDS)):
            start = self.clock.seconds()
            dialled = one.connect((*first, *other.endpoints), other.identity.name, b"", OURSELVES)
            self.network.run_until(lambda dialled=dialled: dialled.called)
            self.assertIs(self.successResultOf(dialled), one.links[-1])
            self.assertApproximates(self.clock.seconds() - start, seconds + 0.04, 0.001)
        self.network.settle(20)
        self.assertEqual((len(one.links), self.network.dials), (2, 4))

    def test_callers_with_the_same_token_share_a_dial(self) -> None:
        """Calls for a peer with the same token share a dial; cancelling one leaves it to the other."""
        one, other = self.crust(), self.crust()
        first, second, third = (self.dial(one, other, token) for token in (b"a", b"a", b"b"))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.network.settle(1)
        self.assertEqual(self.successResultOf(second).token, b"a")
        self.assertEqual(self.successResultOf(third).token, b"b")
        self.assertEqual((self.network.dials, len(other.links)), (2, 2))

    def test_dial_that_nobody_awaits_leaves_no_link(self) -> None:
        """When nobody waits any more, the dial stops, and neither end has a link."""
        one, other = self.crust(), self.crust()
        self.network.hold((other, one))
        dialled = self.dial(one, other)
        self.network.run_until(lambda: self.network.links)
        dialled.cancel()
        self.failureResultOf(dialled, CancelledError)
        self.network.release((other, one))
        self.network.settle(1)
        for each in (one, other):
            self.assertEqual([event[0] for event in self.recorders[each].events], ["external"])
        self.assertEqual(self.network.links, [])

    def test_connection_lost_in_the_handshake_fails_the_dial(self) -> None:
        """A connection that is lost before the link is up is a failed dial, and not an event."""
        one, other = self.crust(), self.crust()
        dialled = self.dial(one, other)
        self.network.run_until(lambda: self.network.links)
        self.network.settle(0.015)
        self.network.cut(self.network.links[0])
        self.network.settle(1)
        self.assertIn("handshake", str(self.failureResultOf(dialled, ConnectFailed).value))
        self.assertEqual([event[0] for event in self.recorders[one].events], ["external"])

    def test_each_limit_on_dials_names_its_setting(self) -> None:
        """Each limit on dials names its setting."""
        self.patch(limits, "MAX_DIALS_PER_PEER", 1)
        one = self.crust(max_dials=3, stranger_dials=1)
        others = [self.crust() for _ in range(4)]
        self.dial(one, others[0])
        self.dial(one, others[3])
        again = self.failureResultOf(self.dial(one, others[0], b"other"), LimitReached)
        self.assertIn("too many dials to", str(again.value))
        self.dial(one, others[1])
        self.assertEqual(
            self.failureResultOf(self.dial(one, others[2]), LimitReached).value.setting, "max_dials"
        )
        self.network.settle(1)
        first = one.connect((Endpoint("9.9.9.9", 5483),), None, b"", STRANGER)
        second = one.connect((Endpoint("8.8.8.8", 5483),), None, b"", STRANGER)
        self.assertEqual(self.failureResultOf(second, LimitReached).value.setting, "max_dials")
        self.network.settle(1)
        self.failureResultOf(first, ConnectFailed)
        third = one.connect((Endpoint("8.8.8.8", 5483),), None, b"", STRANGER)
        self.assertEqual(self.failureResultOf(third, LimitReached).value.setting, "stranger_dials")

    def test_address_that_has_proven_itself_is_no_strangers(self) -> None:
        """Where a peer has answered, it is dialled without counting, until a dial does not find it there."""
        one = self.crust(stranger_dials=1, stranger_dials_per_prefix=1)
        there = (Endpoint("9.9.9.9", 5483),)
        other = self.crust(endpoints=there)

        def dial() -> Deferred[ILink]:
            return one.connect(there, other.identity.name, b"token", STRANGER)

        for _ in range(3):
            link = self.network_result(dial())
            link.close(CloseReason.NO_LONGER_NEEDED)
            self.network.settle(1)
        self.network.crash(other)
        self.network.settle(61)
        for _ in range(2):  # the proof covers the first, the budget of a minute the second
            failed = dial()
            self.network.settle(1)
            self.failureResultOf(failed, ConnectFailed)
        limit = self.failureResultOf(dial(), LimitReached).value
        self.assertEqual(limit.setting, "stranger_dials_per_prefix")

    def network_result(self, dialled: Deferred[ILink]) -> ILink:
        self.network.run_until(lambda: dialled.called)
        return self.successResultOf(dialled)

    def test_unverified_links_are_limited(self) -> None:
        """Of too many the oldest goes, no matter whose it is."""
        other = self.crust(max_unverified_links=1)
        self.recorders[other].verify = False
        one, another = self.crust(), self.crust()
        self.dial(one, other)
        self.network.settle(1)
        later = self.dial(another, other, b"again")
        self.network.settle(1)
        self.successResultOf(later)
        self.assertEqual(self.recorders[other].losses, [(CloseReason.TOO_MANY_LINKS, False)])
        self.assertEqual(len(other.links), 1)

    def test_handshakes_of_a_prefix_wait_for_their_turn(self) -> None:
        other = self.crust(max_handshakes_per_prefix=0.5)
        one = self.crust()
        dials = [self.dial(one, other, bytes([number])) for number in range(3)]
        self.network.settle(1)
        self.assertEqual([each.called for each in dials], [True, False, False])
        self.network.settle(4)
        self.assertEqual([each.called for each in dials], [True, True, True])

    def test_taken_port_is_an_error_and_a_client_does_not_listen(self) -> None:
        """A taken port is an error, a client listens nowhere, and addresses can be given."""
        given = (Endpoint("192.0.2.1", 7000),)
        one = self.crust(endpoints=given)
        self.assertEqual((one.endpoints, one.on_link_networks), (given, ("198.18.0.0/15",)))
        self.assertRaises(CannotListen, self.crust, endpoints=given)
        self.assertRaises(RuntimeError, one.start, self.recorders[one])
        client = self.crust(role=Role.CLIENT)
        dialled = self.dial(client, one)
        self.network.settle(1)
        self.assertEqual(self.successResultOf(dialled).connection.local.host, client.host)
        self.assertEqual((client.endpoints, client.on_link_networks), ((), ("198.18.0.0/15",)))
        self.assertEqual(self.recorders[client].of("external"), [])
        self.assertEqual(self.recorders[one].of("external"), [(given,)])
