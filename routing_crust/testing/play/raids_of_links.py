"""
Raids that consist of links: too many, unfinished ones, links of proxies that do not do what proxies do, and
of members that lie or crowd.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from ...crust.interfaces import ILink
from ...endpoints import Contact
from ...identity import Identity
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
from ..host import SimulatedNode
from .raid import Raid
from .raider import RaiderLink

KEYS_TRIED: Final = 64
"""Keys of which an insider takes the one that is nearest to its target."""
DAY_SECONDS: Final = 86_400.0


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
        self.raider.attach(self.target(number), _nothing, ahead=DAY_SECONDS)


class SilentSockets(Raid):
    """Eight connections from each of 40 addresses that say nothing, opened again as they are closed."""

    each = 1 / 60
    addresses = 40

    def act(self, number: int) -> None:
        # all addresses at one target before the next, so that each is flooded at once
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
        body = encode(GroupAnswer(query.nonce, query.target, members, (), self.raider.clock.seconds()))
        to = Name(envelope.source)
        link.send(FrameKind.ENVELOPE, self.sealed(self._key, EnvelopeKind.GROUP_ANSWER, to, body))


class Insiders(Raid):
    """
    Nodes that join as honest ones do, so that they are in routing tables.

    @cvar most: how many.
    @cvar together: whether they are all in one /24.
    """

    each = 5.0
    most: ClassVar[int] = 4
    together: ClassVar[bool] = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.nodes: list[SimulatedNode] = []

    def act(self, number: int) -> None:
        if len(self.nodes) < self.most:
            network = self.raider.network
            contacts = [each.contact for each in self.targets if each.contact is not None]
            beside = self.nodes[0] if self.nodes and self.together else None
            key = self._key_near(self.target(number))
            node = network.node(identity=key, beside=beside, contacts=tuple(contacts))
            self.nodes.append(node)
            self.joined(node)

    def joined(self, node: SimulatedNode) -> None:
        """One more has been started."""

    def _key_near(self, target: SimulatedNode) -> Identity:
        """The key, of many, that is nearest to a node's name."""
        keys = [self.raider.new_key() for _ in range(KEYS_TRIED)]
        return min(keys, key=lambda each: target.name.distance(each.name))

    def end(self) -> None:
        super().end()
        for each in self.nodes:
            each.stop()


class LyingMembers(Insiders):
    """A member near a target that answers lookups with names that nobody has."""

    most = 1

    def joined(self, node: SimulatedNode) -> None:
        core = node.core
        assert core is not None

        def lie(envelope: Envelope, source: Name, link: ILink | None) -> None:
            query = decode(GroupQuery, envelope.body)
            # near the target: names far from it would not be looked at
            near = query.target[:4]
            members = tuple(near + self.random.randbytes(28) for _ in range(8))
            body = encode(GroupAnswer(query.nonce, query.target, members, (), self.raider.clock.seconds()))
            proxy = Name(envelope.source_proxy) if envelope.source_proxy else None
            core.messenger.send_control(EnvelopeKind.GROUP_ANSWER, source, body, proxy, link)

        core.dispatch.handle(EnvelopeKind.GROUP_QUERY, lie)


class CrowdedPrefix(Insiders):
    """Members near one target, all in one /24."""

    each = 1.0
    most = 12
    together = True

    def target(self, number: int) -> SimulatedNode:
        return self.targets[0]


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
    LyingMembers,
    CrowdedPrefix,
)
