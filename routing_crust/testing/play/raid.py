"""
A raid: what a hostile host does to a simulated network at a rate, from the addresses of its raider, against
the nodes that it was given.

None of those who make them has standing: they are in no routing table. The raids themselves are in
C{raids_of_links} and C{raids_of_frames}.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random
from typing import Any, ClassVar

from twisted.internet.interfaces import IDelayedCall

from ...endpoints import Contact, Endpoint
from ...identity import Identity
from ...names import Name
from ...routing.envelopes import MAX_HOPS, REQUEST_LABEL, Sealer
from ...timing.timers import cancel
from ...wire.codec import encode, to_wire
from ...wire.messages import (
    ConnectRequest,
    EnvelopeKind,
    LinkUse,
    Signed,
)
from ..host import SimulatedNode
from .raider import Raider, RaiderLink


class Raid(ABC):
    """
    One behaviour of one raider.

    @cvar each: seconds between two acts.
    @cvar addresses: how many addresses it needs.
    @ivar contact: where newcomers may be sent, if it lets them in.
    """

    each: ClassVar[float]
    addresses: ClassVar[int] = 1

    def __init__(
        self, raider: Raider, targets: Sequence[SimulatedNode], others: Sequence[SimulatedNode]
    ) -> None:
        """
        @param targets: whom it attacks.
        @param others: other nodes, to whom what it sends through the targets may be addressed.
        """
        self.raider = raider
        self.targets = targets
        self.others = others
        self.random: Random = raider.random
        self.contact: Contact | None = None
        self._acts = 0
        self._link: RaiderLink | None = None
        self._attaching = False
        self._timer: IDelayedCall | None = None

    @classmethod
    def title(cls) -> str:
        """Its name in words."""
        return "".join(f" {each.lower()}" if each.isupper() else each for each in cls.__name__).strip()

    def begin(self) -> None:
        """From now on act."""
        # before the act, which may end the raid and so cancel it
        self._timer = self.raider.clock.callLater(self.each, self.begin)
        self.act(self._acts)
        self._acts += 1

    def end(self) -> None:
        """Act no more."""
        cancel(self._timer)

    @abstractmethod
    def act(self, number: int) -> None:
        """Do it for the C{number}th time."""

    def target(self, number: int) -> SimulatedNode:
        """The target whose turn it is."""
        return self.targets[number % len(self.targets)]

    def link(self) -> RaiderLink | None:
        """A confirmed link with the first target; C{None} while there is none, and then one is being made."""
        if self._link is not None and not self._link.lost:
            return self._link
        if not self._attaching:
            self._attaching = True
            self.raider.attach(self.targets[0], self._attached)
            # a refusal is not told
            self.raider.clock.callLater(2.0, self._try_again)
        return None

    def _attached(self, link: RaiderLink, kind: int, payload: bytes) -> None:
        self._link = link

    def _try_again(self) -> None:
        self._attaching = False

    def signed(self, identity: Identity, label: str, message: Any) -> bytes:
        """A message in its signed form."""
        body = encode(message)
        return encode(Signed(identity.name.raw, body, identity.sign(label, self.raider.network_id, body)))

    def sealed(
        self,
        identity: Identity,
        kind: EnvelopeKind,
        to: Name,
        body: bytes,
        proxy: bytes = b"",
        signed: bool = True,
    ) -> bytes:
        """An envelope of this key's."""
        sealer = Sealer(identity, self.raider.network_id, MAX_HOPS, self.random)
        trace = sealer.new_trace()
        return encode(sealer.seal(trace, kind, to, body, source_proxy=proxy, signed=signed))

    def request(
        self, identity: Identity, to: Name, candidates: Sequence[Endpoint], proxy: bytes = b""
    ) -> bytes:
        """An envelope with a ConnectRequest that is in order but for its sender."""
        now = self.raider.clock.seconds()
        request = ConnectRequest(
            recipient=to.raw,
            nonce=self.random.randbytes(16),
            issued=now,
            expiry=now + 90,
            incarnation=1,
            use=LinkUse.DIRECT,
            candidates=tuple(to_wire(each) for each in candidates),
        )
        body = self.signed(identity, REQUEST_LABEL, request)
        return self.sealed(identity, EnvelopeKind.CONNECT_REQUEST, to, body, proxy, signed=False)
