"""Guessing ports: what is dialled and for how long, and how often it may be done. On a fake clock."""

from __future__ import annotations

from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.tcp import makeBinding
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.admission import Rules
from routing_crust.crust.dial.limits import DialLimits
from routing_crust.crust.interfaces import Guess, ILink, Rendezvous
from routing_crust.crust.punch.guessing import (
    ATTEMPTS_SECONDS,
    BATCH_DIALS,
    DESCRIPTORS,
    HEAD_START_SECONDS,
    HOLD_SECONDS,
    MAX_ATTEMPTS,
    MAX_GUESSES,
    MAX_PER_PREFIX,
    MAX_REFUSED,
    OPEN_PORTS,
    SAME_INTERVAL_SECONDS,
    GuessLimits,
    PortGuess,
)
from routing_crust.crust.punch.puncher import Puncher
from routing_crust.endpoints import Endpoint
from routing_crust.errors import CloseReason, LinkClosed, ServiceStopped
from routing_crust.history import History
from routing_crust.timing.shares import OURSELVES

from ..addresses import at, name, tunnel_to
from ..support import Owner, dial_environment

PEER = Endpoint("8.8.8.8", 5483)
HOST = PEER.host
RELAY = ("5.5.5.0/24", "5.5.5.5", "its link")
REFUSED = error.ConnectionRefusedError(111, "refused")


class PortGuessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.dialled: list[Endpoint] = []
        self.made: list[SimpleNamespace] = []
        self.called_off: list[SimpleNamespace] = []
        self.open = self.most = 0
        self.first_are_right = 0

    def make(self, opens: bool) -> PortGuess:
        guess = PortGuess(self.clock, Random(1), PEER, opens, self.dial)
        guess.start()
        self.clock.advance(0)
        return guess

    def dial(self, guess: PortGuess, endpoint: Endpoint) -> Any:
        self.dialled.append(endpoint)
        self.open += 1
        self.most = max(self.most, self.open)
        made = SimpleNamespace(is_connected=len(self.dialled) <= self.first_are_right)
        made.call_off = partial(self.call_off, made)
        self.made.append(made)
        return made

    def call_off(self, dial: SimpleNamespace) -> None:
        self.open -= 1
        self.called_off.append(dial)

    def advance(self, seconds: float) -> None:
        self.clock.pump([1 / 32] * round(32 * seconds))

    def test_one_end_opens_its_ports_within_a_second_and_keeps_them(self) -> None:
        guess = self.make(opens=True)
        self.advance(0.5)
        self.assertLess(len(self.dialled), OPEN_PORTS)
        self.advance(0.6)
        self.assertEqual(self.dialled, [PEER] * OPEN_PORTS)
        self.advance(5)
        self.assertEqual(self.open, OPEN_PORTS)
        guess.stop()
        self.assertEqual((self.open, self.clock.getDelayedCalls()), (0, []))

    def test_other_end_dials_each_port_once_and_not_many_at_once(self) -> None:
        guess = self.make(opens=False)
        self.advance(0.45)
        self.assertEqual(self.dialled, [])
        self.advance(5.5)
        self.assertEqual(len(set(self.dialled)), MAX_GUESSES)
        self.assertEqual({each.host for each in self.dialled}, {HOST})
        self.assertGreaterEqual(min(each.port for each in self.dialled), 1024)
        self.assertLessEqual(self.most, DESCRIPTORS)
        self.assertEqual((self.open, self.clock.getDelayedCalls()), (0, []))
        self.assertEqual(guess.in_words, f"{MAX_GUESSES} ports were guessed")

    def test_guess_that_was_right_is_not_let_go(self) -> None:
        self.first_are_right = 1
        guess = self.make(opens=False)
        self.advance(6)
        self.assertEqual(self.open, 1)
        guess.stop()
        self.assertEqual(self.open, 0)

    def test_dials_are_spread_over_time(self) -> None:
        self.make(opens=False)
        self.advance(0.55)
        before = len(self.dialled)
        self.advance(1)
        self.assertLessEqual(len(self.dialled) - before, 384)

    def test_router_that_rejects_ends_the_opening_of_ports(self) -> None:
        guess = self.make(opens=True)
        for _ in range(MAX_REFUSED - 1):
            guess.failed(PEER, REFUSED)
        self.assertGreater(self.open, 0)
        guess.failed(PEER, REFUSED)
        self.advance(2)
        self.assertEqual((self.open, len(self.dialled)), (0, BATCH_DIALS))

    def test_another_host_that_answers_ends_the_opening_of_ports(self) -> None:
        """What was named as the peer's port is a server of somebody else's."""
        guess = self.make(opens=True)
        guess.failed(PEER, LinkClosed(CloseReason.PROTOCOL_ERROR))
        self.advance(2)
        self.assertEqual((self.open, len(self.dialled)), (0, BATCH_DIALS))

    def test_guess_that_the_peer_let_go_does_not_end_the_opening_of_ports(self) -> None:
        """It was right, but came too late for the other end; the next one may be in time."""
        self.first_are_right = 2
        guess = self.make(opens=True)
        for reason in (CloseReason.CONNECTION_LOST, CloseReason.NOT_WANTED):
            guess.failed(PEER, LinkClosed(reason))
        self.advance(2)
        self.assertEqual((self.open, len(self.dialled)), (OPEN_PORTS, OPEN_PORTS))

    def test_host_that_takes_many_connections_ends_the_opening_of_ports(self) -> None:
        """The peer's router lets few through, so this is a server of somebody else's, if a silent one."""
        self.first_are_right = OPEN_PORTS
        self.make(opens=True)
        self.advance(2)
        self.assertEqual((self.open, len(self.dialled)), (0, BATCH_DIALS))

    def test_what_came_while_the_host_was_busy_is_read_before_a_guess_is_let_go(self) -> None:
        """On a busy host the time may be over before the reactor has seen that the guess was right."""
        guess = self.make(opens=False)
        self.clock.advance(HEAD_START_SECONDS)
        (right, *_), made = self.made, len(self.made)
        # the reactor calls what is due, then sees what has come, then goes on with the new calls
        self.clock.callLater(HOLD_SECONDS, setattr, right, "is_connected", True)
        self.clock.advance(HOLD_SECONDS)
        self.assertEqual((made, len(self.called_off)), (BATCH_DIALS, BATCH_DIALS - 1))
        self.assertNotIn(right, self.called_off)
        guess.stop()
        self.assertIn(right, self.called_off)

    def test_refused_guesses_end_nothing(self) -> None:
        """A router may reject all ports but those that are open."""
        guess = self.make(opens=False)
        for _ in range(MAX_GUESSES):
            guess.failed(PEER, REFUSED)
        self.advance(6)
        self.assertEqual(len(self.dialled), MAX_GUESSES)


class LimitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.limits = GuessLimits(self.clock.seconds)

    def test_peer_and_address_have_an_attempt_an_hour(self) -> None:
        """A peer that names another address gets none, nor does another peer at the same one."""
        self.limits.began(name(2), HOST, RELAY)
        self.clock.advance(SAME_INTERVAL_SECONDS - 1)
        for peer, host in ((name(2), "9.9.9.9"), (name(3), HOST)):
            self.assertFalse(self.limits.may(peer, host, RELAY))
        self.assertTrue(self.limits.may(name(3), "9.9.9.9", RELAY))
        self.clock.advance(1)
        self.assertTrue(self.limits.may(name(2), HOST, RELAY))

    def test_addresses_of_one_prefix_have_a_few_attempts_an_hour(self) -> None:
        for number in range(MAX_PER_PREFIX):
            self.assertTrue(self.limits.may(name(2 + number), f"8.8.8.{1 + number}", RELAY))
            self.limits.began(name(2 + number), f"8.8.8.{1 + number}", RELAY)
            self.clock.advance(ATTEMPTS_SECONDS)
        self.assertFalse(self.limits.may(name(9), "8.8.8.99", RELAY))
        self.assertTrue(self.limits.may(name(9), "8.8.9.99", RELAY))
        self.clock.advance(SAME_INTERVAL_SECONDS - MAX_PER_PREFIX * ATTEMPTS_SECONDS)
        self.assertTrue(self.limits.may(name(9), "8.8.8.99", RELAY))

    def test_relay_leaves_attempts_to_the_peers_of_others(self) -> None:
        """A relay that sees its peers wherever they like would have all attempts for these."""
        begun = 0
        while self.limits.may(name(2 + begun), f"8.8.{begun}.8", RELAY):
            self.limits.began(name(2 + begun), f"8.8.{begun}.8", RELAY)
            begun += 1
        self.assertEqual(begun, MAX_ATTEMPTS - 1)
        # another relay of the same /24, or another link of it, changes nothing
        self.assertFalse(self.limits.may(name(8), "9.9.8.9", (*RELAY[:1], "5.5.5.6", "second")))
        other = ("6.6.6.0/24", "6.6.6.6", "other")
        self.assertTrue(self.limits.may(name(9), "9.9.9.9", other))
        self.limits.began(name(9), "9.9.9.9", other)
        self.assertFalse(self.limits.may(name(10), "9.9.10.9", ("7.7.7.0/24", "7.7.7.7", "third")))
        self.clock.advance(ATTEMPTS_SECONDS)
        self.assertTrue(self.limits.may(name(10), "9.9.10.9", RELAY))


class BesidePunchTests(SynchronousTestCase):
    """Beside a hole punch, by a fake reactor."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.reactor.advance(1000)
        owner = Owner(self.reactor, Settings())
        limits = DialLimits(owner.settings, Rules((), ()), self.reactor.seconds)
        self.history = History(self.reactor.seconds)
        environment = dial_environment(
            owner, self.reactor, limits, listening=lambda: (at("0.0.0.0:5483"),), history=self.history
        )
        self.puncher = Puncher(environment, Random(1), lambda: ())

    def guess(self, opens: bool, host: str = HOST, token: bytes = b"g") -> Deferred[ILink]:
        rendezvous = Rendezvous(True, 0.0, Guess(host, opens, RELAY))
        return self.puncher.connect((PEER,), name(2), token, OURSELVES, rendezvous)

    def advance(self, seconds: float) -> None:
        for _ in range(round(32 * seconds)):
            self.reactor.advance(1 / 32)

    def end(self, dial: Deferred[ILink]) -> None:
        self.puncher.stop()
        self.failureResultOf(dial, ServiceStopped)
        clients = zip(self.reactor.tcpClients, self.reactor.connectors, strict=True)
        for (_, _, factory, _, _), connector in clients:
            self.assertTrue(connector._disconnected)
            factory.doStart()
            factory.clientConnectionFailed(connector, Failure(error.UserError()))
            factory.doStop()
        self.assertEqual((self.puncher.idle, self.reactor.getDelayedCalls()), (True, []))

    def test_ports_are_guessed_from_the_listening_port(self) -> None:
        dial = self.guess(opens=False)
        self.advance(1)
        clients = self.reactor.tcpClients[1:]
        self.assertGreater(len(clients), 16)
        listening = makeBinding("", 5483, reuseAddress=True, reusePort=True)
        self.assertEqual({each[4] for each in clients}, {listening})
        self.end(dial)
        said = [each.text for each in self.history.of(name(2)).outcomes]
        self.assertTrue(any("ports were guessed" in each for each in said), said)

    def test_ports_are_opened_from_ports_of_the_systems_choice(self) -> None:
        dial = self.guess(opens=True)
        self.advance(2)
        clients = self.reactor.tcpClients[1:]
        self.assertEqual({(each[0], each[1], each[4]) for each in clients}, {(HOST, PEER.port, None)})
        self.assertEqual(len(clients), OPEN_PORTS)
        self.end(dial)

    def test_only_an_address_that_peer_and_relay_both_name_is_dialled(self) -> None:
        dial = self.guess(opens=False, host="9.9.9.9")
        self.advance(1)
        self.assertEqual(len(self.reactor.tcpClients), 1)
        self.end(dial)

    def test_peer_that_asks_again_within_the_hour_has_nothing_guessed(self) -> None:
        self.end(self.guess(opens=False))
        made = len(self.reactor.tcpClients)
        self.assertFalse(self.puncher.may_guess(tunnel_to(name(2), HOST)))
        self.assertTrue(self.puncher.may_guess(tunnel_to(name(3), "9.9.9.9")))
        for token in (b"h", b"i"):
            dial = self.guess(opens=False, token=token)
            self.advance(2)
            made += 1  # by the hole punch itself
            self.assertEqual(len(self.reactor.tcpClients), made)
            self.puncher.stop()
            self.failureResultOf(dial, ServiceStopped)

    def test_guessing_goes_on_when_the_hole_punch_has_nothing_left_and_ends_with_the_link(self) -> None:
        dial = self.guess(opens=False)
        factory = self.reactor.tcpClients[0][2]
        factory.doStart()
        failure = error.ConnectError(22, "invalid")
        factory.clientConnectionFailed(self.reactor.connectors[0], Failure(failure))
        factory.doStop()
        self.advance(2)
        self.assertNoResult(dial)
        (entry,) = self.puncher._entries.values()
        assert entry.punch is not None
        link = cast(ILink, SimpleNamespace(peer=name(2), connection=SimpleNamespace(peer=at("8.8.8.8:777"))))
        entry.punch.won(link)
        self.assertIs(self.successResultOf(dial), link)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
