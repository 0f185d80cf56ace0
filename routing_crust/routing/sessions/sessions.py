"""
Sessions: from the first need of one to its end.

Order: the end that needs a session sends the first flight of a TLS 1.3 handshake (SessionFlight 0), the other
answers (1), the first has the keys and seals its last flight together with what it has to send (LastFlight).
Each flight before that is the body of a signed control envelope. The end that has begun sends its last flight
again, by another way, until the answer comes: after the last one, any packet of the session. A last flight
that comes again is answered by an empty packet. A node that has no session with the number of a packet says
so (SessionUnknown), and a new one is made.

Where both ends begin at once, the handshake of the greater name counts: the other end leaves its own when it
sees that one, and the greater name sends its first flight again by the way that the other's came.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from twisted.logger import Logger

from ...crust.interfaces import ILink, account_by_prefix, prefix_of
from ...crust.key_agreement import KeyAgreementFailed
from ...limits import CONTROL_MESSAGES_PER_SECOND, MAX_CONTROL_BURST
from ...names import Name
from ...quietlog import QuietLog
from ...timing.account_rates import AccountRates
from ...timing.shares import OURSELVES, Account, SharedWindow
from ...wire.codec import decode, encode
from ...wire.end_to_end import LAST_FLIGHT, LastFlight, SealedPacket, SessionFlight, SessionUnknown
from ...wire.messages import Envelope, EnvelopeKind
from ..node import Node
from .handshake import Flight, Handshake
from .offers import HandshakeOffer, HandshakeOffers
from .openings import ANY_WAY, Opening, Openings, SendFlight, WayBack
from .session import Session, associated_data, make_session
from .session_table import SessionTable

MAX_OFFERS_BEGUN: Final = 100
"""
Handshakes of others that may begin within L{OFFERS_SECONDS}. Each costs a millisecond or so, in which nothing
else is done; so all of them are counted, and no prefix gets more than is left for others.
"""
OFFERS_SECONDS: Final = 0.5
_LAST_FLIGHT: Final = bytes((LAST_FLIGHT,))
MAX_LISTED: Final = 16
"""Sessions that the status tells of."""


class SessionUser(Protocol):
    """Sends and receives by sessions. None of these may raise anything but a L{WireError}."""

    def session_opened(self, peer: Name) -> None:
        """There is a session with this peer now."""

    def session_lost(self, peer: Name) -> None:
        """The peer could not open what was sealed recently."""

    def opened(self, envelope: Envelope, source: Name, link: ILink | None, plaintext: bytes) -> None:
        """A packet was opened: it is from C{source}, and comes for the first time."""


class Sessions:
    """Made by the messenger, fed with the envelopes of sessions, discarded after L{stop}."""

    log = Logger()

    def __init__(self, node: Node, send: SendFlight, user: SessionUser) -> None:
        clock = node.clock
        self._clock = clock
        self._own = node.name
        self._network = node.settings.network
        self._agree = node.crust.agree_on_keys
        self._send = send
        self._user = user
        # above those of earlier starts, so that nothing of them can be taken for something of this one
        self._last_number = node.incarnation << 20
        self._quiet = QuietLog(self.log, clock.seconds)
        self._table = SessionTable(clock, self._forgotten)
        self._offers = HandshakeOffers(clock)
        self._members = node.members
        self._openings = Openings(clock, self._send_last)
        self._begun = SharedWindow(MAX_OFFERS_BEGUN, OFFERS_SECONDS, clock.seconds)
        self._hint_rates = AccountRates(CONTROL_MESSAGES_PER_SECOND, MAX_CONTROL_BURST, clock.seconds)
        self._stopped = False

    def __len__(self) -> int:
        """How many sessions there are."""
        return len(self._table)

    def status(self, nickname_of: Callable[[Name], str]) -> dict[str, object]:
        """
        How many sessions there are, and with whom the latest ones; every value can be written as JSON.

        @param nickname_of: what people call a peer; empty if it has no nickname.
        """
        now, sessions = self._clock.seconds(), list(self._table.latest_of_all)
        return {
            "number": len(sessions),
            "peers": [
                {
                    "peer": str(each.peer),
                    "nickname": nickname_of(each.peer),
                    "seconds": round(now - each.made, 1),
                    "idle_seconds": round(now - each.used, 1),
                }
                for each in sessions[: -MAX_LISTED - 1 : -1]
            ],
        }

    @property
    def under_way(self) -> int:
        """How many handshakes are going on."""
        return len(self._openings) + len(self._offers)

    def is_open(self, peer: Name) -> bool:
        """Whether something can be sealed for this peer now."""
        return self._table.latest(peer) is not None

    def seal(self, peer: Name, envelope_id: int, source_proxy: bytes, plaintext: bytes) -> bytes | None:
        """
        Seal a packet.

        @return: the body of the envelope; C{None} without a session.
        """
        session = self._table.latest(peer)
        if session is None:
            return None
        self._table.used(session)
        if self._openings:
            plaintext = self._with_last_flight(session, plaintext)
        associated = associated_data(envelope_id, source_proxy)
        return encode(session.seal(associated, plaintext, self._clock.seconds()))

    def open(self, peer: Name, way: WayBack = ANY_WAY, again: bool = False) -> None:
        """
        Have a session with a peer made; L{SessionUser.session_opened} follows if it can be.

        @param again: whether something has waited for it for long: the last flight is sent by another way.
        """
        if self._stopped or peer == self._own:
            return
        opening = self._openings.find(peer)
        if opening is not None:
            if not opening.handshake.is_complete:
                self._openings.transmit_if_due(opening, again)
        # else the peer's own handshake is as good
        elif again or peer not in self._offers:
            self._begin(peer, way)

    def forget(self, peer: Name) -> None:
        """Have no session with this peer any more, and no handshake."""
        self._offers.remove(peer)
        self._openings.end(peer)
        for session in self._table.of_peer(peer):
            self._table.remove(session)

    def link_lost(self) -> None:
        """Some link is gone: a handshake that somebody waits for may be sent again at once."""
        self._openings.link_lost()

    def stop(self) -> None:
        """Forget everything, and take nothing more. Idempotent."""
        self._stopped = True
        self._openings.stop()
        self._offers.stop()
        self._table.stop()

    def undeliverable(self, envelope_id: int) -> Name | None:
        """
        A hint came that an envelope found no way on.

        @return: the peer of the handshake that it is of.
        """
        return self._openings.undeliverable(envelope_id)

    # What comes.

    def flight_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A flight of a handshake came, in an envelope whose signature holds.

        @raise WireError: it is none.
        """
        flight = decode(SessionFlight, envelope.body)
        if self._stopped or envelope.nearest or source == self._own:
            return
        try:
            if flight.number % 2:
                self._answered(flight, source, WayBack(envelope.source_proxy, link))
            elif flight.number:
                self._carried_on(flight, source, envelope, link)
            else:
                self._offered(flight, source, envelope, link)
        except KeyAgreementFailed as failed:
            self._failed(source, link, failed)

    def unknown_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A peer does not know a session, in an envelope whose signature holds.

        @raise WireError: it says nothing of the kind.
        """
        number = decode(SessionUnknown, envelope.body).session
        session = self._table.find(source, number)
        # of a session that is gone already this means nothing, however often it is said
        if session is None or self._stopped:
            return
        self._table.remove(session)
        opening = self._openings.find(source)
        if opening is not None and opening.number == number:
            self._openings.end(source)
        self._user.session_lost(source)

    def packet_received(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A sealed packet came. Nothing of its envelope is proven.

        @raise WireError: it is none.
        """
        packet = decode(SealedPacket, envelope.body)
        if self._stopped or envelope.nearest or source == self._own:
            return
        session = self._table.find(source, packet.session)
        offer = self._offers.find(source) if session is None else None
        if session is None and offer is not None and offer.number == packet.session:
            self._early_packet(offer, packet, envelope, link)
        elif session is None:
            self._hint(packet.session, source, envelope, link)
        else:
            plaintext = self._open(session, packet, envelope, link)
            if plaintext is None:
                return
            self._table.used(session)
            if self._openings:
                self._confirmed(session)
            if plaintext[:1] == _LAST_FLIGHT:
                self._last_flight_again(source, envelope, link)
            elif plaintext:
                self._user.opened(envelope, source, link, plaintext)

    def _open(
        self, session: Session, packet: SealedPacket, envelope: Envelope, link: ILink | None
    ) -> bytes | None:
        associated = associated_data(envelope.id, envelope.source_proxy)
        plaintext = session.open(packet, associated, self._clock.seconds())
        if plaintext is None:
            self._quiet.info(
                "bad packets",
                "dropped a packet in the name of {source}: it was sealed by another, was altered on its way, "
                "or has come before",
                by=prefix_of(link),
                source=session.peer,
            )
        return plaintext

    # Handshakes that we begin.

    def _begin(self, peer: Name, way: WayBack) -> None:
        # a handshake of the peer that has not come to its end would give a second session
        self._offers.remove(peer)
        self._last_number += 2
        number = self._last_number | (self._own > peer)
        self._openings.add(Opening(peer, number, Handshake(self._agree(peer, True), True), way))

    def _answered(self, flight: SessionFlight, source: Name, way: WayBack) -> None:
        opening = self._openings.find(source)
        if opening is None or opening.number != flight.session:
            return
        if flight.number == 1:
            self._check_membership(source, flight)
        before = opening.handshake.last
        answer = opening.handshake.receive(Flight(flight.number, flight.body))
        if answer is None:
            return
        if answer is not before:
            opening.repeats = opening.attempt = 0
            # what has just worked
            opening.way = way
            if opening.handshake.is_complete:
                self._complete(opening)
                return
        self._openings.transmit(opening)

    def _complete(self, opening: Opening) -> None:
        """The keys are there. The last flight leaves with what has waited for them, if anything has."""
        session = self._make(opening.peer, opening.number, OURSELVES, opening.handshake, True)
        opening.handshake.let_go()
        self._openings.await_answer(opening)
        self._table.add(session)
        self._user.session_opened(opening.peer)
        if not opening.sealed:
            self._openings.transmit(opening)

    def _send_last(self, opening: Opening) -> int | None:
        handshake = opening.handshake
        if handshake.is_complete:
            opening.sealed = False
            return self._send_packet(opening.peer, opening.way, opening.attempt)
        if handshake.last is None:
            return None
        return self._send_flight(opening.peer, opening.number, handshake.last, opening.way, opening.attempt)

    def _with_last_flight(self, session: Session, plaintext: bytes) -> bytes:
        """The plaintext of a packet, with the last flight of the handshake if no packet has had it yet."""
        opening = self._openings.find(session.peer)
        if opening is None or opening.number != session.number or opening.sealed:
            return plaintext
        opening.sealed = True
        last = opening.handshake.last
        return _LAST_FLIGHT + encode(LastFlight(last.body if last else b"", plaintext))

    def _confirmed(self, session: Session) -> None:
        opening = self._openings.find(session.peer)
        if opening is not None and opening.number == session.number:
            self._openings.end(session.peer)

    # Handshakes that others begin.

    def _offered(self, flight: SessionFlight, source: Name, envelope: Envelope, link: ILink | None) -> None:
        way = WayBack(envelope.source_proxy, link)
        offer = self._offers.find(source)
        if offer is not None and offer.number == flight.session:
            self._answer(offer, flight, way)
            return
        if self._is_stale(flight.session, source):
            return
        opening = self._openings.find(source)
        if opening is not None and not opening.handshake.is_complete and self._own > source:
            # ours counts; and it may be that the peer can be reached by this way only
            opening.way = way
            opening.attempt = 0
            self._openings.transmit(opening)
            return
        account = account_by_prefix(link)
        if not self._begun.may_take(account):
            return
        self._begun.take(account)
        # before TLS, which costs more
        self._check_membership(source, flight)
        if opening is not None and not opening.handshake.is_complete:
            self._openings.end(source)
        offer = HandshakeOffer(source, flight.session, account, Handshake(self._agree(source, False), False))
        self._offers.add(offer)
        self._answer(offer, flight, way)

    def _is_stale(self, number: int, source: Name) -> bool:
        """Whether the number of a session is not one that this peer would choose for a new one."""
        if number % 2 != (source > self._own):
            return True
        known = [session.number for session in self._table.of_peer(source)]
        offer = self._offers.find(source)
        if offer is not None:
            known.append(offer.number)
        return any(each % 2 == number % 2 and each >= number for each in known)

    def _carried_on(
        self, flight: SessionFlight, source: Name, envelope: Envelope, link: ILink | None
    ) -> None:
        offer = self._offers.find(source)
        if offer is not None and offer.number == flight.session:
            self._answer(offer, flight, WayBack(envelope.source_proxy, link))
        elif self._table.find(source, flight.session) is None:
            self._hint(flight.session, source, envelope, link)

    def _answer(self, offer: HandshakeOffer, flight: SessionFlight, way: WayBack) -> None:
        answer = offer.handshake.receive(Flight(flight.number, flight.body))
        if answer is not None:
            self._send_flight(offer.peer, offer.number, answer, way, 0)

    def _early_packet(
        self, offer: HandshakeOffer, packet: SealedPacket, envelope: Envelope, link: ILink | None
    ) -> None:
        """A packet of an offered session: what it holds counts once the last flight says who sends it."""
        if offer.session is None:
            # once for each handshake, and no TLS even where the packet is made up
            with suppress(KeyAgreementFailed):
                offer.session = self._make(offer.peer, offer.number, offer.account, offer.handshake, False)
        plaintext = None if offer.session is None else self._open(offer.session, packet, envelope, link)
        if plaintext is None or offer.session is None:
            return
        if plaintext[:1] == _LAST_FLIGHT:
            self._accept(offer, offer.session, decode(LastFlight, plaintext[1:]), envelope, link)
        else:
            offer.keep(envelope, link, plaintext)

    def _accept(
        self,
        offer: HandshakeOffer,
        session: Session,
        last: LastFlight,
        envelope: Envelope,
        link: ILink | None,
    ) -> None:
        try:
            offer.handshake.receive_last(last.body)
        except KeyAgreementFailed as failed:
            self._failed(offer.peer, link, failed)
            return
        self._offers.remove(offer.peer)
        self._table.add(session)
        self._user.session_opened(offer.peer)
        for held, came_by, plaintext in ((envelope, link, last.plaintext), *offer.early):
            if plaintext:
                self._user.opened(held, offer.peer, came_by, plaintext)

    def _last_flight_again(self, source: Name, envelope: Envelope, link: ILink | None) -> None:
        # it has heard nothing from us since
        if self._hint_rates.take(account_by_prefix(link)):
            self._send_packet(source, WayBack(envelope.source_proxy, link), 0)

    def _check_membership(self, source: Name, flight: SessionFlight) -> None:
        """
        Check whether the other end is a member, in a private network.

        @raise KeyAgreementFailed: it is not.
        """
        # whether it is a client is no matter here: clients have sessions as well
        turned_away = self._members.judge(source, flight.certificate, True, 0.0)
        if turned_away is not None:
            detail = f" ({turned_away.detail})" if turned_away.detail else ""
            raise KeyAgreementFailed(f"{turned_away.reason.text}{detail}")

    def _failed(self, peer: Name, link: ILink | None, problem: KeyAgreementFailed) -> None:
        self._quiet.info(
            "failed sessions",
            "no session with {peer}: {problem}",
            by=prefix_of(link),
            peer=peer,
            problem=str(problem),
        )
        self._offers.remove(peer)
        self._openings.end(peer)

    def _send_flight(self, peer: Name, number: int, flight: Flight, way: WayBack, attempt: int) -> int | None:
        """Send a flight of ours that is not the last; the first one of each end shows our certificate."""
        shown = self._members.shown if flight.number < 2 else b""
        body = encode(SessionFlight(number, flight.number, flight.body, shown))
        return self._send(EnvelopeKind.SESSION_FLIGHT, peer, lambda id, proxy: body, way, attempt)

    def _send_packet(self, peer: Name, way: WayBack, attempt: int) -> int | None:
        """Send a packet that says no more than that we have the keys, or has our last flight in it."""
        if not self.is_open(peer):
            return None
        return self._send(
            EnvelopeKind.SEALED, peer, lambda id, proxy: self.seal(peer, id, proxy, b"") or b"", way, attempt
        )

    def _make(
        self, peer: Name, number: int, account: Account, handshake: Handshake, initiator: bool
    ) -> Session:
        now = self._clock.seconds()
        return make_session(number, peer, account, handshake.agreement, initiator, self._network, now)

    # Hints.

    def _hint(self, number: int, source: Name, envelope: Envelope, link: ILink | None) -> None:
        if self._hint_rates.take(account_by_prefix(link)):
            body, way = encode(SessionUnknown(number)), WayBack(envelope.source_proxy, link)
            self._send(EnvelopeKind.SESSION_UNKNOWN, source, lambda id, proxy: body, way, 0)

    def _forgotten(self, session: Session) -> None:
        self._confirmed(session)
