"""
What a relay, or a proxy, can do with messages that it passes on: it tries, and what it has seen is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.wire.codec import decode, encode
from routing_crust.wire.messages import Envelope, EnvelopeKind

from .messaging_net import FakeLink, FakeNet, FakeNode

ENVELOPE = 6
QUESTION, ANSWER = b"who may know this? " * 3, b"nobody but us two. " * 3
LARGE = Random(1).randbytes(90_000)


class _Case(SynchronousTestCase):
    """Two nodes, a client of one of them, and the relay between, which keeps all that it sees."""

    def setUp(self) -> None:
        self.net = FakeNet(has_tls=True)
        self.one, self.relay, self.other = (self.net.node(prefix) for prefix in ("000", "011", "111"))
        self.third = self.net.node("101")
        for each in (self.one, self.other, self.third):
            self.net.link(self.relay, each)
        self.client = self.net.node("1100")
        self.net.attach(self.client, self.relay)
        self.seen: list[tuple[FakeLink, bytes]] = []
        self.meddle: Callable[[FakeLink, Envelope], list[Envelope]] = lambda link, envelope: [envelope]
        self.net.fate = self.fate
        self.asked: list[bytes] = []
        self.other.messenger.set_request_handler(lambda request: self.asked.append(request.body) or ANSWER)
        self.addCleanup(self.net.stop)

    def fate(self, link: FakeLink, kind: int, payload: bytes) -> list[float]:
        """What is sent to the relay it sees, and what it sends on it meddles with."""
        if link.other.node is self.relay:
            self.seen.append((link, payload))
        if link.node is not self.relay or kind != ENVELOPE:
            return [0.0]
        for each in self.meddle(link, decode(Envelope, payload)):
            self.net.clock.callLater(0.001, link.other.arrived, kind, encode(each))
        return []

    def ask(self, node: FakeNode, body: bytes = QUESTION, seconds: float = 1) -> bytes:
        asked: Deferred[bytes] = node.messenger.request(self.other.name, body)
        self.net.run(seconds)
        return self.successResultOf(asked)

    def packets(self) -> list[tuple[FakeLink, Envelope]]:
        """The sealed packets that the relay has seen."""
        all = [(link, decode(Envelope, payload)) for link, payload in self.seen]
        return [(link, each) for link, each in all if each.kind is EnvelopeKind.SEALED]


class ReadingTests(_Case):
    def has_seen(self, plaintext: bytes) -> bool:
        """Whether any eight bytes of a text are among what the relay has seen."""
        seen = b"".join(payload for _, payload in self.seen)
        return any(plaintext[at : at + 8] in seen for at in range(0, len(plaintext) - 8, 8))

    def test_relay_and_proxy_see_nothing_of_what_is_said(self) -> None:
        """Not of requests and answers, nor of messages, nor of those to a group, nor of a client's."""
        for node in (self.one, self.client):
            self.assertEqual(self.ask(node), ANSWER)
            for sent in (
                node.messenger.send(self.other.name, QUESTION),
                node.messenger.send(self.other.name, LARGE),
                node.messenger.send_to_group(self.third.name, [self.other.name, self.third.name], QUESTION),
            ):
                self.net.run(1)
                self.successResultOf(sent)
        self.assertEqual(len(self.other.got), 6)
        self.assertGreater(len(self.packets()), 20)
        for plaintext in (QUESTION, ANSWER, LARGE[:4000]):
            self.assertFalse(self.has_seen(plaintext))

    def test_relay_sees_who_and_how_much(self) -> None:
        """That stays visible, as the documentation says."""
        self.ask(self.one)  # the first packet holds a flight of the handshake, too
        before = len(self.packets())
        self.ask(self.one)
        link, envelope = self.packets()[before]
        self.assertEqual((envelope.source, envelope.destination), (self.one.name.raw, self.other.name.raw))
        self.assertIs(link.node, self.one)
        self.assertTrue(0 < len(envelope.body) - len(QUESTION) < 80)

    def test_nothing_of_an_application_goes_unsealed(self) -> None:
        self.ask(self.one)
        self.ask(self.client)
        kinds = {decode(Envelope, payload).kind for _, payload in self.seen}
        self.assertEqual(kinds, {EnvelopeKind.SEALED, EnvelopeKind.SESSION_FLIGHT})


class MeddlingTests(_Case):
    def test_replayed_traffic_has_no_effect(self) -> None:
        """Not at once, and not later; whether it gets other numbers or not."""
        self.meddle = lambda link, envelope: [envelope, envelope, replace(envelope, id=envelope.id ^ 1)]
        self.ask(self.one)
        self.assertEqual(self.ask(self.one), ANSWER)
        sent = self.one.messenger.send(self.other.name, b"x")
        self.net.run(1)
        self.successResultOf(sent)
        self.meddle = lambda link, envelope: []
        for _, payload in list(self.seen):
            for end in (self.relay.links[self.other.name], self.relay.links[self.one.name]):
                self.net.clock.callLater(0, end.other.arrived, ENVELOPE, payload)
        self.net.run(1)
        self.assertEqual((len(self.asked), self.other.bodies), (2, [b"x"]))

    def test_reordered_parts_are_put_together(self) -> None:
        self.ask(self.one)
        held: list[tuple[FakeLink, Envelope]] = []

        def meddle(link: FakeLink, envelope: Envelope) -> list[Envelope]:
            held.append((link, envelope))
            return []

        self.meddle = meddle
        asked = self.one.messenger.request(self.other.name, LARGE)
        self.net.run(1)
        self.meddle = lambda link, envelope: [envelope]
        for link, envelope in reversed(held):
            link.other.arrived(ENVELOPE, encode(envelope))
        self.net.run(1)
        self.assertEqual(self.successResultOf(asked), ANSWER)
        self.assertEqual(self.asked, [QUESTION, LARGE])

    def test_redirected_traffic_is_of_no_use_to_whom_it_reaches(self) -> None:
        """Neither as it is nor with another destination or source."""
        self.third.messenger.set_request_handler(lambda request: self.asked.append(request.body) or b"mine")
        self.ask(self.one)
        self.ask(self.client)
        self.asked.clear()
        to = self.relay.links[self.third.name].other
        for _, each in self.packets():
            for envelope in (
                replace(each, destination=self.third.name.raw),
                replace(each, destination=self.third.name.raw, source=self.other.name.raw),
            ):
                to.arrived(ENVELOPE, encode(envelope))
        self.net.run(1)
        self.assertEqual((self.asked, self.third.got), ([], []))
        self.assertEqual(self.ask(self.one), ANSWER)

    def test_altered_traffic_is_dropped_and_sent_again(self) -> None:
        self.ask(self.one)

        def flip(link: FakeLink, envelope: Envelope) -> list[Envelope]:
            changed = bytearray(envelope.body)
            changed[-20] ^= 1
            return [replace(envelope, body=bytes(changed))]

        self.meddle = flip
        asked = self.one.messenger.request(self.other.name, QUESTION)
        self.net.run(10)
        self.assertNoResult(asked)
        self.assertEqual(len(self.asked), 1)
        self.meddle = lambda link, envelope: [envelope]
        self.net.run(30)
        self.assertEqual(self.successResultOf(asked), ANSWER)
        self.assertEqual(len(self.asked), 2)

    def test_dropped_traffic_takes_another_way(self) -> None:
        self.ask(self.one)
        for each in (self.one, self.other):
            self.net.link(self.third, each)
        self.meddle = lambda link, envelope: []
        asked = self.one.messenger.request(self.other.name, QUESTION)
        self.net.run(40)
        self.assertEqual(self.successResultOf(asked), ANSWER)
        self.assertEqual(len(self.asked), 2)

    def test_relay_that_answers_the_handshake_itself_gets_nothing(self) -> None:
        """It has a key, and it may sign: but not in the name that is wanted."""

        def answer(link: FakeLink, envelope: Envelope) -> list[Envelope]:
            if envelope.kind is EnvelopeKind.SESSION_FLIGHT and envelope.source == self.one.name.raw:
                mine = self.relay.messenger._sessions
                mine.flight_received(envelope, self.one.name, None)
                return []
            if envelope.source == self.relay.name.raw:
                return [envelope, replace(envelope, source=self.other.name.raw)]
            return [envelope]

        self.meddle = answer
        sent = self.one.messenger.send(self.other.name, QUESTION)
        self.net.run(15)
        self.assertNoResult(sent)
        self.assertEqual(self.packets(), [])
        sent.addErrback(lambda failure: None)

    def test_hint_that_a_relay_makes_up_changes_nothing(self) -> None:
        self.ask(self.one)
        number = self.one.messenger.sessions._table.latest(self.other.name)
        for signer in (self.relay, self.third):
            hint = signer.messenger._sealer.seal(
                1, EnvelopeKind.SESSION_UNKNOWN, self.one.name, encode([number.number if number else 0])
            )
            for envelope in (hint, replace(hint, source=self.other.name.raw)):
                self.relay.links[self.one.name].other.arrived(ENVELOPE, encode(envelope))
        self.net.run(1)
        self.assertIs(self.one.messenger.sessions._table.latest(self.other.name), number)
        self.assertEqual(self.ask(self.one), ANSWER)

    def test_restart_of_the_other_end_costs_a_round_trip(self) -> None:
        self.ask(self.one)
        self.other.messenger.sessions.forget(self.one.name)
        before = len(self.seen)
        self.assertEqual(self.ask(self.one), ANSWER)
        kinds = [decode(Envelope, payload).kind.name for _, payload in self.seen[before:]]
        self.assertEqual(
            kinds,
            ["SEALED", "SESSION_UNKNOWN", *["SESSION_FLIGHT"] * 2, "SEALED", "SEALED"],
        )

    def test_late_answer_waits_for_another_session(self) -> None:
        later: Deferred[bytes] = Deferred()
        self.other.messenger.set_request_handler(lambda request: later)
        asked = self.one.messenger.request(self.other.name, QUESTION)
        self.net.run(1)
        for node, peer in ((self.one, self.other), (self.other, self.one)):
            node.messenger.sessions.forget(peer.name)
        later.callback(ANSWER)
        self.net.run(0.1)
        self.assertEqual(self.successResultOf(asked), ANSWER)
