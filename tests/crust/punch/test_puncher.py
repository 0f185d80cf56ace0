"""The puncher on a fake reactor: what is dialled for strangers, from where, and what is left."""

from __future__ import annotations

import errno
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.tcp import makeBinding
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.admission import Rules
from routing_crust.crust.dial.dialler import Dialler
from routing_crust.crust.dial.limits import MAX_DIALS_PER_PEER, DialLimits
from routing_crust.crust.interfaces import ILink, Rendezvous
from routing_crust.crust.link.preface import Preface
from routing_crust.crust.punch.puncher import Puncher
from routing_crust.endpoints import Endpoint
from routing_crust.errors import ConnectFailed, LimitReached, ServiceStopped
from routing_crust.history import History, Way
from routing_crust.timing.shares import OURSELVES
from tests.crust.addresses import STRANGER

from ..addresses import at, name
from ..dial.test_dialler import Aborted
from ..support import Owner, dial_environment

VICTIM = at("8.8.8.8:5483")
REFUSED = error.ConnectionRefusedError(errno.ECONNREFUSED, "refused")
TAKEN = error.ConnectError(errno.EADDRNOTAVAIL, "cannot assign")


class PuncherTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.reactor.advance(1000)
        self.owner = Owner(self.reactor, Settings())
        self.limits = DialLimits(self.owner.settings, Rules((), ()), self.reactor.seconds)
        self.gone = 0
        self.history = History(self.reactor.seconds)
        environment = dial_environment(
            self.owner, self.reactor, self.limits, self.went, lambda: (at("0.0.0.0:5483"),), self.history
        )
        self.puncher = Puncher(environment, Random(1), lambda: ())

    def went(self) -> None:
        self.gone += 1

    def connect(self, *endpoints: Endpoint, token: bytes = b"t", stranger: bool = True) -> Deferred[ILink]:
        asked_by = STRANGER if stranger else OURSELVES
        return self.puncher.connect(endpoints, name(2), token, asked_by, Rendezvous(False))

    def fail_all(self, problem: error.ConnectError, seconds: float = 6.1) -> int:
        """Fail each dial as soon as it is made, for so long. Returns how many there were."""
        done = 0
        for _ in range(round(seconds * 100)):
            while done < len(self.reactor.tcpClients):
                factory = self.reactor.tcpClients[done][2]
                factory.doStart()
                factory.clientConnectionFailed(self.reactor.connectors[done], Failure(problem))
                factory.doStop()
                done += 1
            self.reactor.advance(0.01)
        return done

    def test_dial_comes_from_the_listening_port(self) -> None:
        dial = self.connect(VICTIM)
        host, port, _, _, binding = self.reactor.tcpClients[0]
        self.assertEqual((host, port), (VICTIM.host, VICTIM.port))
        self.assertEqual(binding, makeBinding("", 5483, reuseAddress=True, reusePort=True))
        self.puncher.stop()
        self.failureResultOf(dial, ServiceStopped)
        self.assertTrue(self.reactor.connectors[0]._disconnected)

    def test_address_of_one_stranger_gets_two_dials_a_minute(self) -> None:
        """Plain and punched dials count together, and the third one is left for others."""
        dialler = Dialler(
            dial_environment(self.owner, self.reactor, self.limits, self.went, history=self.history)
        )
        plain = dialler.connect([VICTIM], name(2), b"t", STRANGER)
        dials: list[Deferred[Any]] = [self.connect(VICTIM, token=token) for token in (b"t", b"u", b"v", b"w")]
        self.assertEqual(self.fail_all(REFUSED), 2)
        self.failureResultOf(plain, ConnectFailed)
        error = self.failureResultOf(dials[0], ConnectFailed).value
        self.assertIn("connection refused; then too many strangers' addresses in 8.8.8.0/24", str(error))
        for dial in dials[1:]:
            self.failureResultOf(dial, LimitReached)
        limited = dialler.connect([VICTIM], name(2), b"x", STRANGER)
        self.failureResultOf(limited, LimitReached)
        noted = [
            (each.way, each.where) for each in self.history.of(name(2)).outcomes if "setting" in each.text
        ]
        self.assertEqual(
            noted,
            [(Way.PUNCH, ""), (Way.PUNCH, str(VICTIM)), (Way.DIAL, str(VICTIM))],
            self.history.of(name(2)),
        )
        self.assertEqual(self.gone, 2)
        self.assertTrue(self.puncher.idle)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_address_where_the_peer_was_punched_last_is_dialled_once_without_that_limit(self) -> None:
        """One that restarts within the minute finds the way open; a dial that fails ends that."""
        for _ in range(2):
            self.limits.spend(VICTIM, STRANGER)
        refused = self.connect(VICTIM, token=b"before")
        self.failureResultOf(refused, LimitReached)
        dial = self.connect(VICTIM, token=b"ours", stranger=False)
        (entry,) = self.puncher._entries.values()
        assert entry.punch is not None
        link = cast(ILink, SimpleNamespace(peer=name(2), connection=SimpleNamespace(peer=VICTIM)))
        entry.punch.won(link)
        self.assertIs(self.successResultOf(dial), link)
        made = len(self.reactor.tcpClients)
        again = self.connect(VICTIM, token=b"again")
        self.assertEqual(len(self.reactor.tcpClients), made + 1)
        self.fail_all(REFUSED)
        self.assertIn("too many strangers' addresses", str(self.failureResultOf(again, ConnectFailed).value))
        self.assertEqual(len(self.reactor.tcpClients), made + 1)

    def test_answer_to_our_own_request_is_dialled_without_that_limit(self) -> None:
        dial = self.connect(VICTIM, stranger=False)
        self.assertEqual(self.fail_all(REFUSED), 12)
        self.failureResultOf(dial, ConnectFailed)

    def test_dial_that_the_system_refuses_for_our_own_port_sends_nothing(self) -> None:
        """A dial that the system refuses for our own port sends nothing, and counts once."""
        dial = self.connect(VICTIM)
        self.assertGreater(self.fail_all(TAKEN), 20)
        self.failureResultOf(dial, ConnectFailed)
        self.limits.spend(VICTIM, STRANGER)
        with self.assertRaises(LimitReached):
            self.limits.spend(VICTIM, STRANGER)

    def test_dial_is_counted_only_while_it_lasts(self) -> None:
        dials = [self.connect(at(f"1.1.{n}.1:5483"), stranger=False) for n in range(1)]
        dials += [self.connect(*(at(f"1.1.{n}.1:5483") for n in range(20)), token=b"u", stranger=False)]
        self.assertEqual(len(self.reactor.tcpClients), MAX_DIALS_PER_PEER)
        self.puncher.stop()
        for number, (_, _, factory, _, _) in enumerate(self.reactor.tcpClients):
            factory.doStart()
            factory.clientConnectionFailed(self.reactor.connectors[number], Failure(error.UserError()))
            factory.doStop()
        for dial in dials:
            self.failureResultOf(dial, ServiceStopped)
        for _ in range(MAX_DIALS_PER_PEER):
            self.limits.check(VICTIM, name(2))
            self.limits.began(name(2), VICTIM)
        with self.assertRaises(LimitReached):
            self.limits.check(VICTIM, name(2))

    def test_connection_of_a_dial_called_off_is_not_taken(self) -> None:
        dial = self.connect(VICTIM)
        factory = self.reactor.tcpClients[0][2]
        dial.addErrback(lambda _: None)
        dial.cancel()
        self.assertIsNone(factory.buildProtocol(None))

    def answered(self, number: int, data: bytes) -> Aborted:
        """A dial is answered, with these bytes."""
        factory = self.reactor.tcpClients[number][2]
        there = IPv4Address("TCP", VICTIM.host, VICTIM.port)
        transport = Aborted(IPv4Address("TCP", "192.0.2.1", 5483), there)
        door = factory.buildProtocol(there)
        door.makeConnection(transport)
        self.assertEqual(transport.value(), Preface.of(b"t", False, True).octets)
        door.dataReceived(data)
        if transport.aborted:
            door.connectionLost(Failure(error.ConnectionAborted()))
        return transport

    def test_crossed_requests_are_both_tried_again(self) -> None:
        """On a connection that the peer has dialled for another request of the two, both try again."""
        dial = self.connect(VICTIM, stranger=False)
        self.puncher.expect(name(2), b"other", False)
        self.assertTrue(self.answered(0, Preface.of(b"other", True, True).octets).aborted)
        self.assertNoResult(dial)
        self.reactor.advance(0.04)
        self.assertEqual(len(self.reactor.tcpClients), 2)
        self.assertTrue(self.answered(1, Preface.of(b"unknown", True, True).octets).aborted)
        error = self.failureResultOf(dial, ConnectFailed).value
        self.assertIn("the peer does not know the rendezvous", str(error))

    def test_connection_lost_after_the_prefaces_is_not_tried_again(self) -> None:
        dial = self.connect(VICTIM, stranger=False)
        transport = self.answered(0, Preface.of(b"t", True, True).octets)
        self.assertFalse(transport.aborted)
        assert transport.protocol is not None
        transport.protocol.connectionLost(Failure(error.ConnectionLost()))
        self.failureResultOf(dial, ConnectFailed)
        self.assertEqual(len(self.reactor.tcpClients), 1)

    def test_calls_with_one_token_share_one_rendezvous(self) -> None:
        """Calls with one token share one rendezvous, and each gets the outcome, unless it is cancelled."""
        dials = [self.connect(VICTIM) for _ in range(3)]
        dials[0].addErrback(lambda _: dials[1].cancel())
        dials[1].addErrback(lambda _: None)
        self.assertEqual(len(self.reactor.tcpClients), 1)
        self.reactor.advance(6)
        self.successResultOf(dials[0])
        self.successResultOf(dials[1])
        self.failureResultOf(dials[2], ConnectFailed)
