"""Dials with a fake reactor: their limits, who shares them, and what is said of their end."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.admission import Rules
from routing_crust.crust.dial import limits
from routing_crust.crust.dial.dial import in_words
from routing_crust.crust.dial.dialler import Dialler
from routing_crust.crust.dial.limits import DialLimits
from routing_crust.crust.dial.race import DialFailed
from routing_crust.crust.interfaces import ILink
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import CloseReason, ConnectFailed, LimitReached, LinkClosed, ServiceStopped
from routing_crust.timing.shares import OURSELVES, Account
from tests.crust.addresses import STRANGER

from ..addresses import at, name
from ..support import Owner, dial_environment

A, B, C = (Endpoint("8.8.8.8", port) for port in (5001, 5002, 5003))
PEER = name(2)


class Aborted(StringTransport):
    """A transport that can be cut."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass


class DiallerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.reactor.advance(1000)
        self.gone = 0
        self.make()

    def make(self, allow: tuple[str, ...] = (), deny: tuple[str, ...] = (), **settings: Any) -> None:
        self.owner = Owner(self.reactor, Settings(**settings))

        def gone() -> None:
            self.gone += 1

        self.limits = limits = DialLimits(self.owner.settings, Rules(allow, deny), self.reactor.seconds)
        self.dialler = Dialler(dial_environment(self.owner, self.reactor, limits, gone))

    def connect(self, *endpoints: Endpoint, token: bytes = b"", **options: Any) -> Deferred[ILink]:
        options = {"peer": PEER, "asked_by": OURSELVES} | options
        return self.dialler.connect(endpoints, token=token, **options)

    def fail_dial(self, number: int, problem: BaseException) -> None:
        factory = self.reactor.tcpClients[number][2]
        factory.doStart()
        factory.clientConnectionFailed(self.reactor.connectors[number], Failure(problem))
        factory.doStop()

    def refuse(self, number: int) -> None:
        self.fail_dial(number, error.ConnectionRefusedError(111, "Connection refused"))

    def dialled(self) -> list[Endpoint]:
        return [Endpoint(each[0], each[1]) for each in self.reactor.tcpClients]

    def attempts(self, dial: Deferred[ILink]) -> list[str]:
        failed = cast(ConnectFailed, self.failureResultOf(dial, ConnectFailed).value)
        return [what for _, what in failed.attempts]

    def test_error_tells_the_failure_of_each_endpoint_in_plain_words(self) -> None:
        """Each endpoint's failure is told in plain words, and nothing is left."""
        dial = self.connect(A, B)
        self.refuse(0)
        self.fail_dial(1, error.NoRouteError(113, "No route to host"))
        self.assertEqual(self.attempts(dial), ["connection refused", "no route to this address"])
        self.assertEqual((self.gone, self.dialler.idle), (2, True))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_unanswered_dial_ends_after_the_timeout(self) -> None:
        """A dial that nobody answers ends after dial_timeout, and is disconnected."""
        dial = self.connect(A)
        self.reactor.advance(9.9)
        self.assertNoResult(dial)
        self.reactor.advance(0.2)
        self.assertEqual(self.attempts(dial), ["no answer within 10 s"])
        self.assertTrue(self.reactor.connectors[0]._disconnected)
        self.assertFalse(self.dialler.idle)
        self.fail_dial(0, error.UserError())
        self.assertTrue(self.dialler.idle)

    def test_peer_silent_after_tcp_is_cut_by_the_dial_timeout(self) -> None:
        """The time limit includes TLS: one that stays silent after TCP is cut."""
        self.make(hello_timeout=60)
        dial = self.connect(A)
        factory = self.reactor.tcpClients[0][2]
        protocol = factory.buildProtocol(IPv4Address("TCP", A.host, A.port))
        transport = Aborted(IPv4Address("TCP", "127.0.0.1", 1), IPv4Address("TCP", A.host, A.port))
        protocol.makeConnection(transport)
        self.reactor.pump([0.1] * 101)
        tried = "nor with segments of 1200 bytes, nor with segments of 536 bytes"
        self.assertEqual(
            self.attempts(dial), [f"it answered, but its TLS handshake was not done within 10 s, {tried}"]
        )
        for number in (1, 2):
            self.fail_dial(number, error.UserError())
        self.assertTrue(transport.aborted)
        protocol.connectionLost(Failure(error.ConnectionAborted()))
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_connection_lost_during_the_handshake_says_so(self) -> None:
        dial = self.connect(A)
        protocol = self.reactor.tcpClients[0][2].buildProtocol(IPv4Address("TCP", A.host, A.port))
        protocol.makeConnection(
            Aborted(IPv4Address("TCP", "127.0.0.1", 1), IPv4Address("TCP", A.host, A.port))
        )
        protocol.connectionLost(Failure(error.ConnectionLost()))
        self.assertEqual(self.attempts(dial), ["the connection was lost before the TLS handshake was done"])

    def test_calls_for_the_same_peer_and_token_share_one_dial(self) -> None:
        """Calls for the same peer and token share one dial; each gets the outcome."""
        first, second = self.connect(A), self.connect(A)
        self.assertEqual(self.dialled(), [A])
        self.refuse(0)
        self.failureResultOf(first, ConnectFailed)
        self.failureResultOf(second, ConnectFailed)

    def test_another_token_or_endpoint_of_an_unknown_peer_is_another_dial(self) -> None:
        """Another token is another dial; so is another endpoint when the peer is not known."""
        dials = [self.connect(A, token=b"1"), self.connect(A, token=b"2")]
        dials += [self.connect(A, peer=None), self.connect(B, peer=None), self.connect(B, peer=None)]
        self.assertEqual(self.dialled(), [A, A, A, B])
        for number in range(4):
            self.refuse(number)
        for dial in dials:
            self.failureResultOf(dial, ConnectFailed)

    def test_caller_that_joins_a_dial_adds_its_endpoints(self) -> None:
        dials = [self.connect(A), self.connect(B)]
        self.refuse(0)
        self.assertEqual(self.dialled(), [A, B])
        self.refuse(1)
        self.assertEqual([len(self.attempts(each)) for each in dials], [2, 2])

    def test_cancelling_leaves_the_others(self) -> None:
        """One caller's cancelling is its own; only the last one's ends the dial."""
        first, second = self.connect(A), self.connect(A)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.assertFalse(self.reactor.connectors[0]._disconnected)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertTrue(self.reactor.connectors[0]._disconnected)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        third = self.connect(A)
        self.assertEqual(self.dialled(), [A, A])
        third.cancel()
        self.failureResultOf(third, CancelledError)

    def test_callback_of_one_caller_may_cancel_another(self) -> None:
        first, second = self.connect(A), self.connect(A)
        first.addErrback(lambda _: second.cancel())
        self.refuse(0)
        self.successResultOf(first)
        self.failureResultOf(second, CancelledError)

    def test_failed_address_is_left_alone_for_a_while_for_this_peer(self) -> None:
        """An address that failed is left alone for a while, for this peer."""
        dial = self.connect(A)
        self.refuse(0)
        self.failureResultOf(dial, ConnectFailed)
        self.reactor.advance(0.25)
        self.assertEqual(
            self.attempts(self.connect(A)), ["it failed recently and is left alone for 0.8 s more"]
        )
        other = self.connect(A, peer=name(3))
        self.assertEqual(self.dialled(), [A, A])
        self.refuse(1)
        self.failureResultOf(other, ConnectFailed)
        self.reactor.advance(0.8)
        again = self.connect(A)
        self.assertEqual(self.dialled(), [A, A, A])
        again.cancel()
        self.failureResultOf(again, CancelledError)

    def test_cancelled_dial_does_not_back_the_address_off(self) -> None:
        dial = self.connect(A)
        dial.cancel()
        self.failureResultOf(dial, CancelledError)
        again = self.connect(A)
        self.assertEqual(self.dialled(), [A, A])
        again.cancel()
        self.failureResultOf(again, CancelledError)

    def test_dials_stop_at_max_dials_with_an_error_that_names_it(self) -> None:
        """No more dials than max_dials, and the error names the setting."""
        self.make(max_dials=2)
        dials = [self.connect(A, peer=name(3)), self.connect(A, peer=name(4))]
        limit = self.failureResultOf(self.connect(A), LimitReached).value
        self.assertEqual(cast(LimitReached, limit).setting, "max_dials")
        with self.assertRaises(LimitReached):
            self.dialler.dial_contact(Contact(A))
        self.refuse(0)
        dials.append(self.connect(B))
        self.assertEqual(self.dialled(), [A, A, B])
        self.dialler.stop()
        for dial, kind in zip(dials, (ConnectFailed, ServiceStopped, ServiceStopped), strict=True):
            self.failureResultOf(dial, kind)

    def test_dials_to_one_peer_are_limited_over_all_tokens(self) -> None:
        self.patch(limits, "MAX_DIALS_PER_PEER", 1)
        self.make()
        dial = self.connect(A, token=b"1")
        limit = self.failureResultOf(self.connect(B, token=b"2"), LimitReached).value
        self.assertIn("too many dials to", str(limit))
        self.refuse(0)
        self.failureResultOf(dial, ConnectFailed)
        self.limits.check(A, PEER)

    def test_dials_that_one_party_asks_for_leave_room_for_others_and_for_ours(self) -> None:
        """Half of all dials is for our own, and of the other half one party takes no more than is left."""
        self.make(max_dials=16)
        peers = [name(number) for number in range(10, 60)]

        def dials(asked_by: Account, host: int) -> int:
            """How many of fifty requests, each by another name, are dialled."""
            before = len(self.dialled())
            for number, peer in enumerate(peers):
                endpoint = Endpoint(f"192.168.{host}.{number + 1}", 5483)
                waiting.append(self.connect(endpoint, peer=peer, token=bytes([host]), asked_by=asked_by))
            return len(self.dialled()) - before

        waiting: list[Deferred[ILink]] = []
        self.assertEqual(dials(STRANGER, 1), 4)
        self.assertEqual(dials(("another", "another", "another"), 2), 2)
        self.assertEqual(dials(OURSELVES, 3), 10)
        self.dialler.stop()
        for each in waiting:
            self.failureResultOf(each, ServiceStopped, LimitReached)
        self.assertEqual(len(self.limits._asked), 0)

    def test_only_addresses_of_strangers_are_counted(self) -> None:
        """Strangers' addresses are counted, those of others are not."""
        self.make(stranger_dials=1, stranger_dials_per_prefix=1)
        dials = [self.connect(A, peer=name(3), asked_by=STRANGER), self.connect(B)]
        limit = self.failureResultOf(self.connect(C, peer=name(4), asked_by=STRANGER), LimitReached).value
        self.assertEqual(cast(LimitReached, limit).setting, "stranger_dials_per_prefix")
        self.dialler.stop()
        for dial in dials:
            self.failureResultOf(dial, ServiceStopped)

    def test_denied_address_or_known_name_is_not_dialled(self) -> None:
        """Whom the lists forbid is not dialled: by address, or by name where it is known."""
        self.make(deny=(str(PEER), "8.8.8.0/24"))
        (by_name,) = self.attempts(self.connect(at("1.1.1.1:5483")))
        self.assertIn("the name is on the deny list", by_name)
        (by_address,) = self.attempts(self.connect(A, peer=None))
        self.assertIn("the address is on the deny list (limit 8.8.8.0/24, setting deny)", by_address)
        with self.assertRaises(DialFailed):
            self.dialler.dial_contact(Contact(A))
        self.assertEqual(self.dialled(), [])

    def test_contacts_are_dialled_without_backoff(self) -> None:
        """A bootstrap has its own back-off, for whole attempts."""
        for number in range(2):
            dial = self.dialler.dial_contact(Contact(A, PEER))
            self.refuse(number)
            self.failureResultOf(dial, DialFailed)
        self.assertEqual(self.dialled(), [A, A])

    def test_stop_fails_the_callers_and_disconnects(self) -> None:
        """Stopping fails who waits, and disconnects."""
        dial, contact = self.connect(A), self.dialler.dial_contact(Contact(B))
        self.dialler.stop()
        self.failureResultOf(dial, ServiceStopped)
        self.failureResultOf(contact, CancelledError)
        self.assertEqual([each._disconnected for each in self.reactor.connectors], [True, True])
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class WordsTests(SynchronousTestCase):
    def test_every_end_of_a_dial_has_plain_words(self) -> None:
        for problem, words in (
            (error.TCPTimedOutError(110, "timed out"), "no answer"),
            (error.ConnectError(101), "network is unreachable"),
            (error.ConnectBindError(99), "cannot assign requested address"),
            (LinkClosed(CloseReason.SELF), "the link leads to this node itself"),
            (LinkClosed(CloseReason.TLS_REFUSED, "a answered instead of b"), "a answered instead of b"),
            (LinkClosed(CloseReason.TLS_REFUSED, "alert", True), "the peer refused us (alert)"),
            (error.UserError("so"), "User aborted connection: so."),
        ):
            self.assertEqual(in_words(problem), words)
