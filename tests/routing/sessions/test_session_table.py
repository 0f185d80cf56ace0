"""The session table and the offers: how many there may be, and who makes room."""

from __future__ import annotations

from typing import cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.interfaces import account_by_prefix
from routing_crust.crust.key_agreement import IKeyAgreement
from routing_crust.names import Name
from routing_crust.routing.sessions import offers, session_table
from routing_crust.routing.sessions.handshake import Handshake
from routing_crust.routing.sessions.keys import OpeningKeys, SealingKeys
from routing_crust.routing.sessions.offers import (
    MAX_EARLY_BYTES,
    OFFER_SECONDS,
    HandshakeOffer,
    HandshakeOffers,
)
from routing_crust.routing.sessions.session import Session
from routing_crust.routing.sessions.session_table import IDLE_SECONDS, LAST_USE_SECONDS, SessionTable
from routing_crust.timing.shares import OURSELVES, Account

from .ends import link_of

SEALING, OPENING = SealingKeys(bytes(32), 0), OpeningKeys(bytes(32))


def name(number: int) -> Name:
    return Name(number.to_bytes(32, "big"))


def account(number: int) -> Account:
    return account_by_prefix(link_of(name(number), f"10.0.{number}.1"))


class TableTests(SynchronousTestCase):
    """What is kept."""

    def setUp(self) -> None:
        self.patch(session_table, "MAX_SESSIONS", 8)
        self.patch(session_table, "RESERVED_SESSIONS", 4)
        self.clock = Clock()
        self.gone: list[Session] = []
        self.table = SessionTable(self.clock, self.gone.append)

    def add(self, peer: int, by: Account = OURSELVES, number: int = 1) -> Session:
        now = self.clock.seconds()
        session = Session(number, name(peer), by, SEALING, OPENING, now, now)
        self.table.add(session)
        return session

    def peers(self) -> list[int]:
        return sorted(session.peer.number for each in self.table._of_account.values() for session in each)

    def test_least_recently_used_of_ours_goes(self) -> None:
        sessions = [self.add(peer) for peer in range(8)]
        self.table.used(sessions[0])
        self.add(8)
        self.assertEqual(self.peers(), [0, *range(2, 9)])
        self.assertEqual(self.gone, [sessions[1]])

    def test_free_names_of_one_link_evict_each_other_only(self) -> None:
        """A peer that opens sessions in many names takes none from us, nor from peers that hold fewer."""
        for peer in range(4):
            self.add(peer)
        self.add(10, account(1))
        for peer in range(20, 40):
            self.add(peer, account(2))
        self.assertEqual(self.peers(), [0, 1, 2, 3, 10, 37, 38, 39])

    def test_own_sessions_take_what_others_do_not_use_and_give_it_back(self) -> None:
        for peer in range(8):
            self.add(peer)
        for peer in range(10, 20):
            self.add(peer, account(peer))
        self.assertEqual(self.peers()[:4], [4, 5, 6, 7])
        self.assertEqual(len(self.table), 8)

    def test_idle_session_is_forgotten_and_not_used_shortly_before(self) -> None:
        used, idle = self.add(1), self.add(2)
        self.clock.advance(LAST_USE_SECONDS)
        self.assertIs(self.table.latest(name(2)), idle)
        used.used = self.clock.seconds()
        self.clock.advance(1)
        self.assertIsNone(self.table.latest(name(2)))
        self.assertIs(self.table.find(name(2), 1), idle)
        self.clock.advance(IDLE_SECONDS - LAST_USE_SECONDS)
        self.assertEqual(self.peers(), [1])
        self.clock.advance(IDLE_SECONDS)
        self.assertEqual(self.peers(), [])
        self.assertEqual(self.gone, [idle, used])
        self.assertEqual(self.table._of_peer, {})

    def test_latest_two_sessions_of_a_peer_are_kept(self) -> None:
        one, two, three = (self.add(1, number=number) for number in (1, 2, 3))
        self.assertIs(self.table.latest(name(1)), three)
        self.assertEqual(self.table.of_peer(name(1)), (three, two))
        self.table.remove(one)
        self.table.remove(three)
        self.assertIs(self.table.latest(name(1)), two)

    def test_nothing_is_left_after_stop(self) -> None:
        self.add(1)
        self.add(2, account(1))
        self.table.stop()
        self.assertEqual((len(self.table), self.clock.getDelayedCalls()), (0, []))


class _Idle:
    is_complete = False

    def advance(self, flight: bytes) -> bytes:
        return b""


class OfferTests(SynchronousTestCase):
    """Handshakes of others that are not complete."""

    def setUp(self) -> None:
        self.patch(offers, "MAX_OFFERS", 4)
        self.clock = Clock()
        self.offers = HandshakeOffers(self.clock)

    def offer(self, peer: int, by: int) -> HandshakeOffer:
        offer = HandshakeOffer(name(peer), 1, account(by), Handshake(cast(IKeyAgreement, _Idle()), False))
        self.offers.add(offer)
        return offer

    def test_link_that_holds_most_makes_room(self) -> None:
        self.offer(1, by=1)
        for peer in range(10, 30):
            self.offer(peer, by=2)
        self.assertEqual(len(self.offers), 4)
        self.assertIn(name(1), self.offers)
        self.assertIn(name(29), self.offers)

    def test_later_offer_of_a_peer_takes_the_place_of_the_one_before(self) -> None:
        self.offer(1, by=1)
        latest = self.offer(1, by=2)
        self.assertEqual(len(self.offers), 1)
        self.assertIs(self.offers.find(name(1)), latest)

    def test_offer_ends_with_its_time(self) -> None:
        self.offer(1, by=1)
        self.clock.advance(OFFER_SECONDS)
        self.assertEqual((len(self.offers), self.offers._of_account), (0, {}))

    def test_early_packets_are_bounded(self) -> None:
        offer = self.offer(1, by=1)

        class Packet:
            body = bytes(MAX_EARLY_BYTES // 4)

        for _ in range(3):
            offer.keep(Packet(), None, Packet.body)  # type: ignore[arg-type]
        self.assertEqual(len(offer.early), 2)
