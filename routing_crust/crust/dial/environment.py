"""
What all dials of a node have in common, plain and punching.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from twisted.internet.interfaces import IConnector, IProtocolFactory

from ...endpoints import Endpoint
from ...errors import LinkClosed
from ...history import History
from ..interfaces import ILink
from ..link.owner import LinkOwner
from ..link.tls import LinkTls
from ..netstate.paths import DialPath, DialPaths
from .limits import DialLimits


class Connect(Protocol):
    """Begins a TCP connection; see C{Platform.connect}."""

    def __call__(
        self, remote: Endpoint, factory: IProtocolFactory, origin: Endpoint | None, path: DialPath
    ) -> IConnector: ...


@dataclass(frozen=True, slots=True)
class DialEnvironment:
    """
    Made by a L{CrustService<routing_crust.crust.service.CrustService>} for what dials on its behalf.

    @ivar owner: owns the links.
    @ivar tls: what secures them.
    @ivar connect: begins a TCP connection; see C{Platform.connect}.
    @ivar limits: which peers are dialled, how many at once, and how often on behalf of strangers.
    @ivar refusal_of: why the owner has not kept a link that came up; C{None} if it has.
    @ivar gone: called each time a connection that we dialled is completely gone.
    @ivar listening: where we listen now, which is where we dial from if we can, so that the peer sees how
        our listening port looks from outside.
    @ivar history: where outcomes are written to.
    @ivar paths: by which uplink, and with how large segments.
    @ivar proxied: the proxy that an endpoint is dialled through, in words; empty for none.
    """

    owner: LinkOwner
    tls: LinkTls
    connect: Connect
    limits: DialLimits
    refusal_of: Callable[[ILink], LinkClosed | None]
    gone: Callable[[], None]
    listening: Callable[[], Sequence[Endpoint]]
    history: History
    paths: DialPaths = field(default_factory=DialPaths)
    proxied: Callable[[Endpoint], str] = lambda endpoint: ""
