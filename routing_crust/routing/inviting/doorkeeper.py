"""
The doorkeeper: what a member does for somebody who has an invitation and no certificate.

Order of messages: L{Redeem<routing_crust.trust.redeeming.Redeem>} is the first frame on an accepted link,
which from then on is the doorkeeper's, and not a link of routing. If the invitation is ours, the L{Inviter}
answers. Else it goes to the inviter in an envelope, C{REDEEM_FOR}, and the answer comes back in
C{REDEEMED_FOR}; if the inviter is gone, to an admin that has a copy of the invitation (C{ledger_sync}). Then
the link is closed: one try for each connection, and nothing else can be said on it.

Tries are counted for the prefix of the link's address. When too many wait for their inviters, the prefix that
has most of them makes room, so no stranger keeps others out. The link stays within the limits of those
without a Hello.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ...crust.interfaces import ILink
from ...crust.reachability import EndpointSource
from ...endpoints import Contact, Direction, Endpoint, is_local_only
from ...errors import CloseReason, WireError
from ...identity import PROTOCOL_VERSION
from ...names import Name
from ...quietlog import QuietLog
from ...timing.ratelimit import KeyedLimits
from ...timing.timers import cancel
from ...trust.certificate import Certificate
from ...trust.networks import is_private
from ...trust.redeeming import (
    MAX_REDEEM_BYTES,
    Redeem,
    RedeemAnswer,
    RedeemedFor,
    RedeemFor,
    RedeemRefusal,
    decode_answer,
    decode_redeem,
    decode_redeem_for,
    decode_redeemed_for,
    encode,
)
from ...wire.fields import NONCE_BYTES
from ...wire.framing import FrameKind
from ...wire.messages import Envelope, EnvelopeKind, NatKind
from ..control import SendControl
from ..links.peer import Peer
from ..links.registry import LinkRegistry
from ..messaging.envelope_dispatch import EnvelopeDispatch
from ..node import Node
from .outgoing_calls import OutgoingCalls

TRIES_PER_MINUTE: Final = 10.0
"""Tries of one prefix; twice as many at once."""
MAX_PASSED_ON: Final = 64
"""Tries that wait for their inviter's answer at once."""
WAIT_SECONDS: Final = 8.0
"""How long the inviter and the admins together are waited for: less than a link without a Hello lives."""
INVITER_WAIT_SECONDS: Final = 3.0
"""How long the inviter is waited for before an admin is asked in its place, and then each admin."""
SEND_AGAIN_SECONDS: Final = 1.5
"""An envelope may be lost; the inviter answers a try that comes twice as it did before."""


class Inviter(Protocol):
    """Has the invitations of this node, and copies of others', and issues certificates."""

    def redeem(self, name: Name, binding: bytes, redeem: Redeem) -> RedeemAnswer:
        """
        Judge a try. It must not raise. The same name gets the same answer again.

        @param name: who redeems it, as TLS has proven.
        @param binding: the exporter value of the TLS session of that link.
        """
        ...

    def has(self, which: bytes) -> bool:
        """Whether this invitation of somebody else is known."""
        ...

    def told_to(self, peer: Certificate) -> Iterable[bytes]:
        """What a member that may issue should know of invitations, as payloads of frames."""
        ...

    def take(self, peer: Certificate, payload: bytes) -> bool:
        """
        Take what such a member tells, and keep it in memory until L{save}.

        @return: whether it is new.
        @raise WireError: the payload does not hold.
        """
        ...

    def save(self) -> None:
        """Keep for good what was taken. It must not raise."""
        ...


@dataclass(slots=True, eq=False)
class _PassedOn:
    """
    A try that waits for its inviter, or for an admin in its place.

    @ivar asked: whom it was sent to now.
    @ivar others: whom to ask then.
    @ivar until: when it is given up.
    @ivar next_at: when the next one is asked.
    @ivar trace: the id of the envelope that was sent last.
    """

    link: ILink
    body: bytes
    redeem: Redeem
    asked: Name
    others: list[Name]
    until: float
    next_at: float
    trace: int | None = None
    timer: IDelayedCall | None = None


class Doorkeeper:
    """
    Made with each start of the service, fed with first frames and envelopes, discarded after L{stop}.

    @ivar calls: dials those who wait for us with an invitation.
    @ivar inviter: has our own invitations; C{None} if we have none.
    """

    log = Logger()

    def __init__(
        self,
        node: Node,
        links: LinkRegistry,
        dispatch: EnvelopeDispatch,
        send: SendControl,
        dialable_at: Callable[[Peer], Endpoint | None],
        bootstrap: Callable[[], object],
    ) -> None:
        """
        @param dialable_at: where others can dial a peer; C{None} if that is not known.
        @param bootstrap: has us dial contacts, unless we are in the network or on the way there.
        """
        seconds = node.clock.seconds
        self.inviter: Inviter | None = None
        self._node = node
        self._links = links
        self._send = send
        self._dialable_at = dialable_at
        self._admins: Callable[[], Iterable[Name]] = tuple
        self._quiet = QuietLog(self.log, seconds)
        self._tries: KeyedLimits[str] = KeyedLimits.of_buckets(
            TRIES_PER_MINUTE / 60, 2 * TRIES_PER_MINUTE, seconds
        )
        self._passed_on: dict[bytes, _PassedOn] = {}
        self.calls = OutgoingCalls(node, links, bootstrap)
        links.handle_first_frame(FrameKind.REDEEM, self.knocked)
        dispatch.handle(EnvelopeKind.REDEEM_FOR, self.passed_on)
        dispatch.handle(EnvelopeKind.REDEEMED_FOR, self.answered)

    def set_admins(self, admins: Callable[[], Iterable[Name]]) -> None:
        """Ask these, as far as they can be reached, when an inviter is gone."""
        self._admins = admins

    def stop(self) -> None:
        """Give up what waits. Crust closes the links."""
        self.calls.stop()
        passed_on, self._passed_on = self._passed_on, {}
        for each in passed_on.values():
            cancel(each.timer)

    def doors(self) -> tuple[Contact, ...]:
        """Where an invitation can be redeemed: at this node, and then at members that pass it on."""
        crust, own = self._node.crust, self._node.name
        # where others see a node behind a NAT nobody else can dial it
        is_open = crust.nat is NatKind.OPEN
        mine = [
            Contact(each.endpoint, own)
            for each in crust.sources
            if is_open or each.source is not EndpointSource.OBSERVED
        ]
        found = ((each.name, self._dialable_at(each)) for each in self._links.peers)
        others = [Contact(endpoint, name) for name, endpoint in found if endpoint is not None]
        # those outside first: they are of use to a node outside our own network
        return tuple(mine + sorted(others, key=lambda each: is_local_only(each.endpoint)))

    def knocked(self, link: ILink, kind: int, payload: bytes) -> None:
        """
        Somebody has an invitation.

        @raise WireError: the peer broke the protocol.
        """
        is_expected = link.direction is Direction.ACCEPTED or self.calls.is_called(link)
        if not is_expected or not is_private(self._node.settings.network):
            raise WireError("nobody redeems an invitation here", CloseReason.NOT_WANTED)
        if len(payload) > MAX_REDEEM_BYTES:
            raise WireError(f"a Redeem of {len(payload)} bytes is over the limit of {MAX_REDEEM_BYTES}")
        redeem = decode_redeem(payload)
        if PROTOCOL_VERSION not in redeem.versions:
            raise WireError("no protocol version in common", CloseReason.UNSUPPORTED_VERSION)
        is_ours = redeem.inviter == self._node.name.raw
        prefix = link.connection.peer.prefix
        if not self._tries.take(prefix):
            self._quiet.info(
                "too many tries",
                "refused invitations from {prefix}: too many tries",
                by=prefix,
                prefix=prefix,
            )
            self._refuse(link, RedeemRefusal.TOO_MANY)
        elif redeem.network != self._node.settings.network and not (is_ours and not redeem.network):
            # a short invitation names no network, and nobody but its inviter knows it
            self._refuse(link, RedeemRefusal.OTHER_NETWORK)
        elif is_ours:
            answer = self._judge(link.peer, link.binding, redeem)
            if answer.refusal is RedeemRefusal.NONE:
                self.calls.redeemed(link)
            self._answer(link, encode(answer))
        else:
            self._pass_on(link, redeem, payload)

    def passed_on(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        A member passes somebody's try on to us.

        @raise WireError: it is no such message.
        """
        message = decode_redeem_for(envelope.body)
        redeem = decode_redeem(message.redeem)
        if redeem.network != self._node.settings.network:
            return
        if redeem.inviter == self._node.name.raw or self._stands_in_for(redeem):
            answer = self._judge(Name(message.name), message.binding, redeem)
        else:
            # at once, so that somebody else is asked
            answer = RedeemAnswer(RedeemRefusal.INVITER_GONE)
        self._send(EnvelopeKind.REDEEMED_FOR, source, encode(RedeemedFor(message.number, encode(answer))))

    def answered(self, envelope: Envelope, source: Name, link: ILink | None) -> None:
        """
        The inviter has answered a try that we have passed on.

        @raise WireError: it is no such message.
        """
        message = decode_redeemed_for(envelope.body)
        waiting = self._passed_on.get(message.number)
        # given up since, or somebody answers who was not asked
        if waiting is None or waiting.asked != source:
            return
        if decode_answer(message.answer).refusal is RedeemRefusal.INVITER_GONE:
            self._ask_next(message.number)
            return
        self._settle(message.number)
        self._answer(waiting.link, message.answer)

    def _judge(self, name: Name, binding: bytes, redeem: Redeem) -> RedeemAnswer:
        if self.inviter is None:
            return RedeemAnswer(RedeemRefusal.UNKNOWN)
        return self.inviter.redeem(name, binding, redeem)

    def undeliverable(self, trace: int) -> None:
        """A hint says that an envelope of ours found no way: somebody else is asked at once."""
        for number, each in list(self._passed_on.items()):
            if each.trace == trace:
                self._ask_next(number)

    def _stands_in_for(self, redeem: Redeem) -> bool:
        """
        Whether this node is to let somebody in for an inviter that is gone: it has a copy of the invitation,
        and no link with the inviter, nor with an admin that goes before it.

        So where all that stand in have links with each other, one of them counts the uses.
        """
        if self.inviter is None or not self.inviter.has(redeem.invitation):
            return False
        inviter = Name(redeem.inviter)
        before = takewhile(lambda each: each != self._node.name, self._stand_ins(redeem))
        return all(self._links.peer(each) is None for each in (inviter, *before))

    def _stand_ins(self, redeem: Redeem) -> list[Name]:
        """The admins, in an order that is the same for all members."""
        which = redeem.invitation

        def rank(name: Name) -> bytes:
            return hashlib.sha256(which + name.raw).digest()

        return sorted((each for each in self._admins() if each.raw != redeem.inviter), key=rank)

    def _pass_on(self, link: ILink, redeem: Redeem, payload: bytes) -> None:
        if len(self._passed_on) >= MAX_PASSED_ON:
            self._make_room()
        number = self._node.random.getrandbits(8 * NONCE_BYTES).to_bytes(NONCE_BYTES, "big")
        body = encode(RedeemFor(number, link.peer.raw, link.binding, payload))
        now = self._node.clock.seconds()
        # what this node could say in an inviter's place it says itself when it comes to that
        others = [each for each in self._stand_ins(redeem) if each != self._node.name]
        self._passed_on[number] = _PassedOn(
            link, body, redeem, Name(redeem.inviter), others, now + WAIT_SECONDS, now + INVITER_WAIT_SECONDS
        )
        self._ask(number)

    def _ask_next(self, number: bytes) -> None:
        """The one that was asked last does not answer, or sends us to others."""
        waiting = self._passed_on[number]
        cancel(waiting.timer)
        now = self._node.clock.seconds()
        if now < waiting.until and self._stands_in_for(waiting.redeem):
            self._settle(number)
            link = waiting.link
            self._answer(link, encode(self._judge(link.peer, link.binding, waiting.redeem)))
        elif not waiting.others or now >= waiting.until:
            self._settle(number)
            self._refuse(waiting.link, RedeemRefusal.INVITER_GONE)
        else:
            waiting.asked, waiting.next_at = waiting.others.pop(0), now + INVITER_WAIT_SECONDS
            self._ask(number)

    def _ask(self, number: bytes) -> None:
        waiting = self._passed_on[number]
        now = self._node.clock.seconds()
        left = min(waiting.until, waiting.next_at) - now
        if left <= 0:
            self._ask_next(number)
            return
        attempt = round((INVITER_WAIT_SECONDS - (waiting.next_at - now)) / SEND_AGAIN_SECONDS)
        waiting.trace = self._send(EnvelopeKind.REDEEM_FOR, waiting.asked, waiting.body, attempt=attempt)
        if waiting.trace is None:
            # in a later turn: it would be recursion where none of the others can be reached
            waiting.timer = self._node.clock.callLater(0, self._ask_next, number)
            return
        waiting.timer = self._node.clock.callLater(min(left, SEND_AGAIN_SECONDS), self._ask, number)

    def _make_room(self) -> None:
        """Refuse the oldest try of the prefix that has most."""
        prefixes = {number: each.link.connection.peer.prefix for number, each in self._passed_on.items()}
        (fullest, _), *_ = Counter(prefixes.values()).most_common(1)
        number = next(each for each, prefix in prefixes.items() if prefix == fullest)
        link = self._passed_on[number].link
        self._settle(number)
        self._refuse(link, RedeemRefusal.TOO_MANY)

    def _settle(self, number: bytes) -> None:
        cancel(self._passed_on.pop(number).timer)

    def _refuse(self, link: ILink, refusal: RedeemRefusal) -> None:
        self._answer(link, encode(RedeemAnswer(refusal)))

    def _answer(self, link: ILink, answer: bytes) -> None:
        link.send(FrameKind.REDEEMED, answer)
        link.close(CloseReason.NO_LONGER_NEEDED, "an invitation was answered")
