"""
Raids that consist of links: too many, unfinished ones, and links of proxies that do not do what proxies do.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from ...endpoints import Contact
from ...names import Name
from ...wire.codec import decode, encode
from ...wire.framing import FrameKind
from ...wire.messages import (
    Envelope,
    EnvelopeKind,
    GroupAnswer,
    GroupQuery,
    WireRole,
)
from .raid import Raid
from .raider import RaiderLink

A_DAY: Final = 86_400.0


class UnconfirmedLinks(Raid):
    """Links of one key with a Hello and no Confirmation, opened again and again."""

    each = 1 / 29

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._key = self.raider.new_key()

    def act(self, number: int) -> None:
        self.raider.dial(self.target(number), self._key, _say_hello)


class UnconfirmedLinksOfNewKeys(Raid):
    """The same with a new key for each link, from several addresses."""

    each = 1 / 29
    addresses = 20

    def act(self, number: int) -> None:
        self.raider.dial(self.target(number), None, _say_hello)


class IdleKeys(Raid):
    """Keys that attach as clients and stay, from one address."""

    each = 1 / 10
    most: ClassVar[int] = 80

    def act(self, number: int) -> None:
        if len(self.raider.links) < self.most:
            self.raider.attach(self.target(number), _nothing, role=WireRole.CLIENT)


class WrongTimes(Raid):
    """Newcomers whose clocks are a day ahead."""

    each = 1 / 5
    addresses = 20

    def act(self, number: int) -> None:
        self.raider.attach(self.target(number), _nothing, ahead=A_DAY)


class SilentSockets(Raid):
    """Eight connections from each of 40 addresses that say nothing, opened again as they are closed."""

    each = 1 / 60
    addresses = 40

    def act(self, number: int) -> None:
        self.raider.connect_silently(self.target(number // 40), number % 40)


class SilentSessions(Raid):
    """Connections that complete TLS and say nothing more, from eight addresses."""

    each = 1 / 20
    addresses = 8

    def act(self, number: int) -> None:
        self.raider.dial(self.target(number))


class DeafProxy(Raid):
    """A contact that lets newcomers in, and passes nothing on."""

    each = 10.0

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._key = self.raider.new_key()
        endpoint = self.raider.listen(lambda: self.raider.accepted(self._key, self._let_in))
        self.raider.listening = (endpoint,)
        self.contact = Contact(endpoint, self._key.name)

    def act(self, number: int) -> None:
        """It waits to be dialled."""

    def _let_in(self, link: RaiderLink, kind: int, payload: bytes) -> None:
        link.on_frame, link.confirms = self._frame, True

    def _frame(self, link: RaiderLink, kind: int, payload: bytes) -> None:
        if kind == FrameKind.HELLO:
            link.hello()
            link.confirm()
        elif kind == FrameKind.ENVELOPE:
            self.heard(link, decode(Envelope, payload))

    def heard(self, link: RaiderLink, envelope: Envelope) -> None:
        """Drop it."""


class LyingProxy(DeafProxy):
    """A contact that lets newcomers in, and answers their lookups with names that nobody has."""

    def heard(self, link: RaiderLink, envelope: Envelope) -> None:
        if envelope.kind is not EnvelopeKind.GROUP_QUERY:
            return
        query = decode(GroupQuery, envelope.body)
        members = tuple(self.random.randbytes(32) for _ in range(8))
        body = encode(GroupAnswer(query.nonce, query.target, members, self.raider.clock.seconds()))
        to = Name.of_key(envelope.key)
        link.send(FrameKind.ENVELOPE, self.sealed(self._key, EnvelopeKind.GROUP_ANSWER, to, body))


def _say_hello(link: RaiderLink, kind: int, payload: bytes) -> None:
    link.hello()


def _nothing(link: RaiderLink, kind: int, payload: bytes) -> None:
    """It is attached, and that is all that it wants."""


LINK_RAIDS: Final[tuple[type[Raid], ...]] = (
    UnconfirmedLinks,
    UnconfirmedLinksOfNewKeys,
    IdleKeys,
    WrongTimes,
    SilentSockets,
    SilentSessions,
    DeafProxy,
    LyingProxy,
)
