"""Sessions between two ends: how one is made, what a lossy or hostile way does to it, and how it ends."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import KeyExchange
from routing_crust.crust.interfaces import ILink
from routing_crust.crust.key_agreement import IKeyAgreement, KeyAgreementFailed, KeyAgreements
from routing_crust.crust.session_tls import SessionTls
from routing_crust.errors import CloseReason, WireError
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.members import Members, TurnedAway
from routing_crust.routing.sessions.offers import MAX_OFFERS, OFFER_SECONDS
from routing_crust.routing.sessions.openings import LEAST_REPEAT_SECONDS, MAX_REPEATS
from routing_crust.routing.sessions.session import associated_data, make_session
from routing_crust.routing.sessions.session_table import IDLE_SECONDS
from routing_crust.routing.sessions.sessions import MAX_OFFERS_BEGUN, OFFERS_SECONDS
from routing_crust.testing.memory.key_agreement import SimulatedKeyAgreements
from routing_crust.timing.shares import OURSELVES
from routing_crust.wire.codec import decode, encode
from routing_crust.wire.end_to_end import (
    LAST_FLIGHT,
    LastFlight,
    SealedPacket,
    SessionFlight,
    SessionUnknown,
)
from routing_crust.wire.messages import Envelope, EnvelopeKind

from .ends import End, World, arrives, link_of, packet_of, two_ends

TEXT = b"what is said in confidence"


class _Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.small, self.great = two_ends(self.world)

    def lose(self, *numbers: int) -> None:
        """Lose the envelopes with these numbers, counted over both ends."""
        count = iter(range(10**6))
        self.world.fate = lambda end, envelope: [] if next(count) in numbers else [0.05]

    def joined(self) -> None:
        """Have a session, with a packet each way."""
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(0.5)
        self.great.send(self.small.name, TEXT)
        self.world.pass_time(0.5)
        self.small.got.clear()
        self.great.got.clear()
        self.small.seen.clear()
        self.great.seen.clear()


class MakingTests(_Case):
    """From the first need to the first packet."""

    def test_first_packet_waits_for_one_round_trip(self) -> None:
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(0.2)
        self.assertEqual(self.great.got, [TEXT])
        self.assertEqual(self.small.kinds(), ["0", "packet"])
        self.assertEqual(self.great.kinds(), ["1"])

    def test_packets_go_both_ways_in_one_session(self) -> None:
        self.joined()
        for _ in range(3):
            self.small.send(self.great.name, TEXT)
            self.great.send(self.small.name, TEXT)
        self.world.pass_time(0.1)
        self.assertEqual((self.small.got, self.great.got), ([TEXT] * 3, [TEXT] * 3))
        self.assertEqual(self.small.kinds() + self.great.kinds(), ["packet"] * 6)
        self.assertEqual((self.small.sessions.under_way, self.great.sessions.under_way), (0, 0))

    def test_each_lost_flight_is_sent_again(self) -> None:
        for lost in range(3):
            self.setUp()
            self.lose(lost)
            self.small.send(self.great.name, TEXT)
            self.world.pass_time(2.5)
            # what was sealed with the last flight is sent again by the layer above
            self.assertEqual(self.great.got, [TEXT] * (lost < 2), f"flight {lost}")
            self.assertEqual(self.small.number_with(self.great), self.great.number_with(self.small))
            self.world.pass_time(5)
            self.assertEqual((self.small.sessions.under_way, self.great.sessions.under_way), (0, 0))

    def test_last_flight_goes_alone_where_nothing_waits(self) -> None:
        self.small.sessions.open(self.great.name)
        self.world.pass_time(0.2)
        self.assertEqual(self.small.kinds(), ["0", "packet"])
        self.assertEqual((self.great.events, self.great.got), (["opened"], []))

    def test_last_flight_that_comes_again_is_answered_by_an_empty_packet(self) -> None:
        """The end that has begun need not repeat it more than once, though nothing else comes back."""
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(20)
        self.assertEqual(self.small.kinds(), ["0", "packet", "packet"])
        self.assertEqual(self.great.kinds(), ["1", "packet"])
        self.assertEqual((self.small.got, self.great.got), ([], [TEXT]))

    def test_handshake_without_an_answer_is_given_up(self) -> None:
        self.world.fate = lambda end, envelope: []
        self.small.sessions.open(self.great.name)
        self.world.pass_time(70)
        self.assertEqual(self.small.kinds(), ["0"] * (1 + MAX_REPEATS))
        self.assertEqual(self.small.sessions.under_way, 0)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_repetition_that_is_asked_for_goes_by_another_way(self) -> None:
        self.world.fate = lambda end, envelope: []
        self.small.sessions.open(self.great.name)
        self.small.sessions.open(self.great.name)
        self.assertEqual(self.small.kinds(), ["0"])
        self.small.sessions.open(self.great.name, again=True)
        self.assertEqual(self.small.kinds(), ["0"])
        self.world.pass_time(LEAST_REPEAT_SECONDS)
        for _ in range(3):
            self.small.sessions.open(self.great.name, again=True)
        self.assertEqual(self.small.kinds(), ["0", "0"])

    def test_hint_that_a_flight_found_no_way_names_the_peer_once(self) -> None:
        self.world.fate = lambda end, envelope: []
        self.small.sessions.open(self.great.name)
        (flight,) = self.small.seen
        self.assertEqual(self.small.sessions.undeliverable(flight.id), self.great.name)
        self.assertIsNone(self.small.sessions.undeliverable(flight.id))
        # the next that needs the session asks again whether there is a way, and nobody else does
        self.world.pass_time(5)
        self.assertEqual(self.small.kinds(), ["0"])
        self.small.sessions.open(self.great.name)
        self.small.sessions.open(self.great.name)
        self.assertEqual(self.small.kinds(), ["0", "0"])
        self.assertIsNone(self.small.sessions.undeliverable(7))

    def test_packets_that_overtake_the_last_flight_are_kept(self) -> None:
        self.world.fate = lambda end, envelope: [0.3 if end.kinds()[-2:] == ["0", "packet"] else 0.05]
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(0.1)
        self.small.send(self.great.name, b"and more")
        self.world.pass_time(0.15)
        self.assertEqual(self.great.got, [])
        self.world.pass_time(0.5)
        self.assertEqual(self.great.got, [TEXT, b"and more"])
        self.assertEqual(self.great.kinds(), ["1"])

    def test_both_ends_that_begin_at_once_end_with_the_session_of_the_greater_name(self) -> None:
        self.small.send(self.great.name, TEXT)
        self.great.send(self.small.name, TEXT)
        self.world.pass_time(5)
        self.assertEqual((self.small.got, self.great.got), ([TEXT], [TEXT]))
        number = self.small.number_with(self.great)
        self.assertEqual(number, self.great.number_with(self.small))
        self.assertEqual(number % 2, 1)
        self.assertEqual((len(self.small.sessions), len(self.great.sessions)), (1, 1))

    def test_greater_name_that_finds_no_way_uses_the_one_that_the_other_has_shown(self) -> None:
        ways_in = iter([[]])
        self.world.fate = lambda end, envelope: next(ways_in, [0.05]) if end is self.great else [0.05]
        self.great.send(self.small.name, TEXT)
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(0.4)
        self.assertIs(self.great.ways[1].back, self.small.link)
        self.assertEqual((self.small.got, self.great.got), ([TEXT], [TEXT]))

    def test_handshake_with_another_node_than_was_asked_for_gives_no_session(self) -> None:
        """A relay that puts its own flight in place of the peer's."""
        impostor = End(World(), Identity.from_seed(bytes([9]) * 32))
        self.great.agreements = impostor.agreements
        self.great.restart()
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(3)
        self.assertEqual(self.small.events, [])
        self.assertEqual(len(self.small.sessions), 0)

    def test_nothing_is_left_after_stop(self) -> None:
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(0.06)
        for end in (self.small, self.great):
            end.sessions.stop()
            end.sessions.open(self.small.name)
            end.sessions.open(self.great.name)
        self.world.fate = lambda end, envelope: []
        self.world.pass_time(0.3)
        self.assertEqual(self.world.clock.getDelayedCalls(), [])
        self.assertEqual((self.small.events, self.great.events), ([], []))


class EndingTests(_Case):
    """Sessions that one end has forgotten."""

    def test_restart_costs_a_round_trip(self) -> None:
        self.joined()
        self.great.restart()
        self.small.waiting.append((self.great.name, TEXT))
        self.small.send(self.great.name, b"lost with the session")
        self.world.pass_time(0.5)
        self.assertEqual(self.small.kinds(), ["packet", "0", "packet"])
        self.assertEqual(self.great.kinds(), ["hint", "1"])
        self.assertEqual(self.great.got, [TEXT])

    def test_restarted_end_that_sends_first_makes_a_session_of_its_own(self) -> None:
        self.joined()
        self.great.restart()
        self.great.send(self.small.name, TEXT)
        self.world.pass_time(0.5)
        self.assertEqual(self.small.got, [TEXT])
        self.assertEqual(self.small.number_with(self.great), self.great.number_with(self.small))

    def test_hint_about_another_session_changes_nothing(self) -> None:
        self.joined()
        number = self.small.number_with(self.great)
        for wrong in (number + 2, number - 2, 0):
            self.great.post(
                self.great.sealer.seal(
                    1, EnvelopeKind.SESSION_UNKNOWN, self.small.name, encode(SessionUnknown(wrong))
                )
            )
        self.world.pass_time(0.1)
        self.assertEqual(self.small.number_with(self.great), number)
        self.assertNotIn("lost", self.small.events)

    def test_idle_session_is_made_anew(self) -> None:
        self.joined()
        first = self.small.number_with(self.great)
        self.world.clock.advance(IDLE_SECONDS)
        self.assertEqual((len(self.small.sessions), len(self.great.sessions)), (0, 0))
        self.great.send(self.small.name, TEXT)
        self.world.pass_time(0.5)
        self.assertEqual(self.small.got, [TEXT])
        self.assertNotEqual(self.small.number_with(self.great), first)

    def test_forgotten_peer_has_no_session(self) -> None:
        self.joined()
        self.small.sessions.forget(self.great.name)
        self.assertEqual((len(self.small.sessions), self.small.sessions.is_open(self.great.name)), (0, False))


class HostileTests(_Case):
    """What a relay can do with what passes it."""

    def replay(self, envelopes: list[Envelope], source: End, to: End) -> None:
        for each in envelopes:
            to.take(each, source.name, source.link)

    def test_relay_sees_no_plaintext(self) -> None:
        """It sees who, to whom, and how much; with the handshake and the checks of links."""
        ends = [
            End(
                self.world,
                Identity.from_seed(bytes([seed]) * 32),
                SessionTls(Identity.from_seed(bytes([seed]) * 32)),
            )
            for seed in (3, 4)
        ]
        for one, other in (ends, ends[::-1]):
            one.send(other.name, TEXT)
            self.world.pass_time(0.5)
            self.assertEqual(other.got, [TEXT])
        for envelope in (*ends[0].seen, *ends[1].seen):
            self.assertNotIn(TEXT[:8], envelope.body)

    def test_replayed_packet_is_not_delivered_twice(self) -> None:
        self.joined()
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(0.1)
        self.replay(self.small.seen * 3, self.small, self.great)
        self.replay([replace(each, id=each.id + 1) for each in self.small.seen], self.small, self.great)
        self.assertEqual(self.great.got, [TEXT])
        self.assertEqual(self.great.kinds(), [])

    def test_reordered_packets_are_each_delivered_once(self) -> None:
        self.joined()
        self.world.fate = lambda end, envelope: []
        texts = [bytes([7, number]) for number in range(20)]
        for text in texts:
            self.small.send(self.great.name, text)
        self.replay(self.small.seen[::-1] + self.small.seen, self.small, self.great)
        self.assertEqual(self.great.got, texts[::-1])

    def test_altered_packet_is_dropped_and_the_good_one_still_taken(self) -> None:
        self.joined()
        self.world.fate = lambda end, envelope: []
        self.small.send(self.great.name, TEXT)
        (good,) = self.small.seen
        packet = packet_of(good)
        self.replay(
            [
                replace(good, body=encode(replace(packet, counter=packet.counter + 1))),
                replace(good, body=encode(replace(packet, ciphertext=packet.ciphertext[:-1] + b"\0"))),
                replace(good, source_proxy=bytes(32)),
                replace(good, id=good.id + 1),
            ],
            self.small,
            self.great,
        )
        self.assertEqual((self.great.got, self.great.kinds()), ([], []))
        self.replay([good], self.small, self.great)
        self.assertEqual(self.great.got, [TEXT])

    def test_packet_redirected_to_another_node_is_not_opened(self) -> None:
        third = End(self.world, Identity.from_seed(bytes([5]) * 32))
        self.joined()
        third.send(self.great.name, TEXT)
        self.world.pass_time(0.5)
        self.world.fate = lambda end, envelope: []
        self.small.send(self.great.name, TEXT)
        (packet,) = self.small.seen
        self.replay([packet], self.small, third)
        self.assertEqual(third.got, [])
        self.great.got.clear()
        # nor in the name of another peer, nor back to its sender
        self.great.take(packet, third.name, third.link)
        self.small.take(packet, self.great.name, self.great.link)
        self.assertEqual((self.great.got, self.small.got), ([], []))

    def test_replayed_flights_give_no_session_and_take_none_away(self) -> None:
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(0.5)
        flights = list(self.small.seen)
        self.assertEqual(self.small.kinds(), ["0", "packet"])
        number = self.great.number_with(self.small)
        self.replay(flights * 2, self.small, self.great)
        self.assertEqual(
            (len(self.great.sessions), self.great.sessions._offers.find(self.small.name)), (1, None)
        )
        self.great.restart()
        self.replay(flights * 2, self.small, self.great)
        self.assertEqual((len(self.great.sessions), self.great.events), (0, ["opened"]))
        self.assertEqual((self.small.number_with(self.great), self.great.got), (number, [TEXT]))

    def made_by_hand(self, agreements: KeyAgreements) -> tuple[IKeyAgreement, int, bytes]:
        """
        Begin a handshake with the great end in the name of the small one.

        @return: the end of it, the number of the session, and the last flight.
        """
        self.world.fate = lambda end, envelope: []
        agreement, number = agreements.agree(self.great.name, True), 7 << 20
        first = encode(SessionFlight(number, 0, agreement.advance(b"")))
        self.great.take(self.envelope(EnvelopeKind.SESSION_FLIGHT, first), self.small.name, self.small.link)
        answer = decode(SessionFlight, self.great.seen[-1].body)
        return agreement, number, agreement.advance(answer.body)

    def envelope(self, kind: EnvelopeKind, body: bytes) -> Envelope:
        """One from the small end to the great one."""
        return self.small.sealer.seal(1, kind, self.great.name, body, signed=kind is not EnvelopeKind.SEALED)

    def test_last_flight_that_is_not_sealed_is_refused(self) -> None:
        _, number, last = self.made_by_hand(self.small.agreements)
        flight = self.envelope(EnvelopeKind.SESSION_FLIGHT, encode(SessionFlight(number, 2, last)))
        self.great.take(flight, self.small.name, self.small.link)
        self.assertEqual((len(self.great.sessions), self.great.sessions.under_way), (0, 0))

    def test_nothing_is_taken_from_an_end_that_is_not_who_it_says(self) -> None:
        """It may seal, since it has the keys: but neither before its last flight nor with it."""
        other = Identity.from_seed(bytes([5]) * 32)
        agreement, number, last = self.made_by_hand(SimulatedKeyAgreements(other, self.world.random))
        session = make_session(
            number, self.great.name, OURSELVES, agreement, True, self.small.settings.network, 0.0
        )
        for plaintext in (TEXT, bytes([LAST_FLIGHT]) + encode(LastFlight(last, TEXT)), TEXT):
            packet = session.seal(associated_data(1, b""), plaintext, 0.0)
            self.great.take(
                self.envelope(EnvelopeKind.SEALED, encode(packet)), self.small.name, self.small.link
            )
        self.assertEqual((self.great.got, self.great.events, len(self.great.sessions)), ([], [], 0))

    def test_altered_last_flight_is_dropped_and_the_good_one_still_taken(self) -> None:
        self.world.fate = lambda end, envelope: [] if end.kinds()[-1] == "packet" else [0.05]
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(0.2)
        good = self.small.seen[-1]
        packet = packet_of(good)
        for body in (
            encode(replace(packet, ciphertext=packet.ciphertext[:-1] + b"\0")),
            encode(replace(packet, counter=1)),
            encode(replace(packet, ciphertext=bytes(1000))),
        ):
            self.great.take(replace(good, body=body), self.small.name, self.small.link)
        self.assertEqual((self.great.events, self.great.sessions.under_way), ([], 1))
        self.replay([good], self.small, self.great)
        self.assertEqual(self.great.got, [TEXT])

    def test_packet_before_there_are_keys_is_dropped(self) -> None:
        """Where the ends prefer other key exchanges, the first answer holds no key."""
        one, other = (Identity.from_seed(bytes([seed]) * 32) for seed in (3, 4))
        began = End(self.world, one, SessionTls(one, KeyExchange.X25519))
        answers = End(self.world, other, SessionTls(other, KeyExchange.HYBRID))
        began.send(answers.name, TEXT)
        self.world.clock.advance(0.05)
        number = decode(SessionFlight, answers.seen[0].body).session
        junk = encode(SealedPacket(number, 0, 0, bytes(64)))
        answers.take(replace(began.seen[0], kind=EnvelopeKind.SEALED, body=junk), began.name, began.link)
        self.assertEqual(answers.kinds(), ["1"])
        self.world.pass_time(0.5)
        self.assertEqual(answers.got, [TEXT])

    def test_older_flight_that_is_replayed_does_not_disturb_a_handshake(self) -> None:
        self.world.fate = lambda end, envelope: []
        self.small.sessions.open(self.great.name)
        self.small.sessions.forget(self.great.name)
        (old,) = self.small.seen
        self.world.fate = lambda end, envelope: [0.05]
        self.small.send(self.great.name, TEXT)
        self.world.clock.advance(0.05)
        self.replay([old], self.small, self.great)
        self.world.pass_time(0.3)
        self.assertEqual(self.great.got, [TEXT])

    def test_number_that_the_other_end_would_choose_is_refused(self) -> None:
        self.small.sessions.open(self.great.name)
        (flight,) = self.small.seen
        self.world.fate = lambda end, envelope: []
        odd = encode(SessionFlight((7 << 20) + 1, 0, bytes(32)))
        self.great.take(replace(flight, body=odd), self.small.name, self.small.link)
        self.assertEqual(self.great.kinds(), [])

    def test_handshakes_in_free_names_by_one_link_are_limited(self) -> None:
        """Others that come by another link still get through; so does what is sent in sessions."""
        self.joined()
        link = link_of(self.small.name, "10.7.0.1")
        crowd = [End(World(), Identity.from_seed(bytes([9, each]) * 16)) for each in range(MAX_OFFERS_BEGUN)]
        self.world.fate = lambda end, envelope: []
        for each in crowd:
            each.sessions.open(self.great.name)
            self.great.take(each.seen[0], each.name, link)
        self.assertEqual(self.great.kinds(), ["1"] * (MAX_OFFERS_BEGUN // 2))
        self.assertLessEqual(self.great.sessions.under_way, MAX_OFFERS)
        self.world.fate = lambda end, envelope: [0.05]
        other = End(self.world, Identity.from_seed(bytes([6]) * 32))
        other.send(self.great.name, TEXT)
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(0.5)
        self.assertEqual(self.great.got, [TEXT, TEXT])

    def begun_by(self, count: int, first: int, link: ILink) -> int:
        """How many handshakes the great end answers of C{count} new names that come by a link."""
        before = len(self.great.kinds())
        for number in range(first, first + count):
            end = End(World(), Identity.from_seed(number.to_bytes(32, "big")))
            end.sessions.open(self.great.name)
            self.great.take(end.seen[0], end.name, link)
        return len(self.great.kinds()) - before

    def test_new_link_brings_no_new_handshakes(self) -> None:
        self.world.fate = lambda end, envelope: []
        link = link_of(self.small.name, "10.7.0.1")
        self.assertEqual(self.begun_by(MAX_OFFERS_BEGUN, 1000, link), MAX_OFFERS_BEGUN // 2)
        self.great.sessions.link_lost()
        again = link_of(self.small.name, "10.7.0.1")
        self.assertEqual(self.begun_by(1, 2000, again), 0)
        self.world.pass_time(2 * OFFERS_SECONDS)
        self.assertEqual(self.begun_by(1, 3000, again), 1)

    def test_many_networks_begin_no_more_handshakes_than_may_be_and_leave_some_to_others(self) -> None:
        self.world.fate = lambda end, envelope: []
        names = [Identity.from_seed(bytes([8, each]) * 16).name for each in range(32)]
        links = [link_of(each, f"10.7.{number}.1") for number, each in enumerate(names)]
        begun = sum(
            self.begun_by(1, 1000 * number + turn, link)
            for turn in range(8)
            for number, link in enumerate(links, 1)
        )
        self.assertLess(begun, MAX_OFFERS_BEGUN)
        honest = link_of(self.small.name, "10.8.0.1")
        self.assertEqual(self.begun_by(1, 90_000, honest), 1)

    def test_new_link_brings_no_new_hints_about_unknown_sessions(self) -> None:
        self.joined()
        self.small.send(self.great.name, TEXT)
        (packet,) = self.small.seen
        unknown = replace(packet, body=encode(replace(packet_of(packet), session=1)))
        for _ in range(2):
            for _ in range(300):
                self.great.take(unknown, self.small.name, self.small.link)
            self.great.sessions.link_lost()
        self.assertEqual(self.great.kinds(), ["hint"] * 200)

    def test_hints_about_unknown_sessions_are_limited(self) -> None:
        self.joined()
        self.small.send(self.great.name, TEXT)
        (packet,) = self.small.seen
        unknown = replace(packet, body=encode(replace(packet_of(packet), session=1)))
        self.replay([unknown] * 1000, self.small, self.great)
        self.assertEqual(self.great.kinds(), ["hint"] * 200)

    def test_what_cannot_be_read_is_refused(self) -> None:
        self.joined()
        for kind in (EnvelopeKind.SEALED, EnvelopeKind.SESSION_FLIGHT, EnvelopeKind.SESSION_UNKNOWN):
            envelope = self.small.sealer.seal(1, kind, self.great.name, b"?")
            self.assertRaises(WireError, self.great.take, envelope, self.small.name, self.small.link)


class _Private(Members):
    """Those who show the right word."""

    def __init__(self, word: bytes) -> None:
        self.word = word

    @property
    def shown(self) -> bytes:
        return self.word

    def judge(self, peer: Name, shown: bytes, is_client: bool, time: float) -> TurnedAway | None:
        return None if shown == b"member" else TurnedAway(CloseReason.NO_CERTIFICATE, "it has to be invited")


class PrivateTests(_Case):
    """In a private network."""

    def make(self, small: bytes, great: bytes) -> None:
        for end, word in ((self.small, small), (self.great, great)):
            end.members = _Private(word)
            end.restart()

    def test_members_have_sessions(self) -> None:
        self.make(b"member", b"member")
        self.small.send(self.great.name, TEXT)
        self.world.pass_time(0.2)
        self.assertEqual(self.great.got, [TEXT])
        shown = [
            decode(SessionFlight, each.body).certificate for each in (self.small.seen[0], *self.great.seen)
        ]
        self.assertEqual(shown, [b"member", b"member"])

    def test_who_shows_no_good_certificate_has_no_session(self) -> None:
        """Whichever end it is at, though the envelopes of both get through."""
        for small, great, flights in ((b"", b"member", []), (b"member", b"", ["1"])):
            self.setUp()
            self.make(small, great)
            self.small.send(self.great.name, TEXT)
            self.world.pass_time(0.2)
            self.assertEqual(self.great.kinds(), flights)
            self.assertEqual((self.small.events, self.great.events, self.great.got), ([], [], []))


class TlsTests(SynchronousTestCase):
    """The real handshake."""

    def flights(self, one: SessionTls, other: SessionTls, identities: tuple[Identity, Identity]) -> list[int]:
        """Do a handshake, and return how many bytes each flight has."""
        ends = one.agree(identities[1].name, True), other.agree(identities[0].name, False)
        sizes, flight = [], b""
        for number in range(8):
            flight = ends[number % 2].advance(flight)
            if not flight:
                break
            sizes.append(len(flight))
        self.assertTrue(ends[0].is_complete)
        self.assertTrue(ends[1].is_complete)
        self.assertEqual(ends[0].export(b"EXPORTER-x", b"y", 64), ends[1].export(b"EXPORTER-x", b"y", 64))
        self.assertNotEqual(ends[0].export(b"EXPORTER-x", b"y", 64), ends[1].export(b"EXPORTER-x", b"z", 64))
        return sizes

    def test_each_pair_of_settings_gives_keys(self) -> None:
        """Three flights of less than 4 KiB; five where one end cannot do what the other prefers."""
        identities = Identity.from_seed(bytes(32)), Identity.from_seed(bytes([1]) * 32)
        for one, other, count in (
            (KeyExchange.HYBRID, KeyExchange.HYBRID, 3),
            (KeyExchange.X25519, KeyExchange.X25519, 3),
            (KeyExchange.X25519, KeyExchange.HYBRID, 3),
            (KeyExchange.HYBRID, KeyExchange.X25519, 5),
        ):
            sizes = self.flights(SessionTls(identities[0], one), SessionTls(identities[1], other), identities)
            self.assertEqual(len(sizes), count, (one, other))
            self.assertLess(max(sizes), 3800)

    def test_another_node_than_was_asked_for_is_refused_at_both_ends(self) -> None:
        one, other, third = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2, 3))
        for asked, offered, who in ((third, one, "client"), (other, third, "server")):
            client = SessionTls(one).agree(asked.name, True)
            server = SessionTls(other).agree(offered.name, False)
            answer = server.advance(client.advance(b""))
            if who == "client":
                self.assertRaises(KeyAgreementFailed, client.advance, answer)
            else:
                self.assertRaises(KeyAgreementFailed, server.advance, client.advance(answer))
            self.assertFalse(client.is_complete and server.is_complete)

    def test_end_that_was_asked_has_the_keys_before_the_last_flight(self) -> None:
        one, other = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2))
        client = SessionTls(one).agree(other.name, True)
        server = SessionTls(other).agree(one.name, False)
        first = client.advance(b"")
        for end in (client, server):
            self.assertRaises(KeyAgreementFailed, end.export, b"EXPORTER-x", b"y", 64)
        answer = server.advance(first)
        keys = server.export(b"EXPORTER-x", b"y", 64)
        last = client.advance(answer)
        self.assertEqual(keys, client.export(b"EXPORTER-x", b"y", 64))
        server.advance(last)
        self.assertEqual(keys, server.export(b"EXPORTER-x", b"y", 64))

    def test_what_is_no_flight_is_refused(self) -> None:
        one, other = (Identity.from_seed(bytes([number]) * 32) for number in (1, 2))
        for initiator in (True, False):
            end = SessionTls(one).agree(other.name, initiator)
            if initiator:
                end.advance(b"")
            self.assertRaises(KeyAgreementFailed, end.advance, b"no TLS at all")


class LossyTests(SynchronousTestCase):
    """Any loss, doubling and delay of what is sent in the first seconds."""

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.lists(st.floats(0.01, 3), max_size=3), max_size=12),
        st.lists(st.tuples(st.booleans(), st.floats(0, 2)), min_size=1, max_size=4),
    )
    def test_both_ends_end_with_one_session_and_deliver_nothing_twice(
        self, fates: list[list[float]], sends: list[tuple[bool, float]]
    ) -> None:
        world = World()
        small, great = two_ends(world)
        fate = iter(fates)
        world.fate = lambda end, envelope: next(fate, [0.05])
        for number, (first, when) in enumerate(sends):
            one, other = (small, great) if first else (great, small)
            world.clock.callLater(when, one.send, other.name, bytes([1, number]))
        world.pass_time(60)
        for end in (small, great):
            self.assertEqual(len(set(end.got)), len(end.got))
        # from then on the way is good, and both ends seal with one session; the first packet may be lost with
        # one that the other end has never got
        world.fate = arrives
        for text in (b"once more", b"at last"):
            small.send(great.name, text)
            world.pass_time(1)
            great.send(small.name, text)
            world.pass_time(1)
        self.assertEqual((small.got[-1], great.got[-1]), (b"at last", b"at last"))
        self.assertEqual(small.number_with(great), great.number_with(small))
        world.pass_time(OFFER_SECONDS + 5)
        self.assertEqual((small.sessions.under_way, great.sessions.under_way), (0, 0))
