"""What tests of one link share: the link, on a fake clock, over a transport whose handshake is fine."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.crust.link import link as link_module
from routing_crust.crust.link import receiving
from routing_crust.crust.link.certificates import PeerRefused
from routing_crust.crust.link.factories import link_of
from routing_crust.crust.link.link import Link
from routing_crust.crust.link.plan import LinkPlan
from routing_crust.crust.link.tls import VerifiedPeer
from routing_crust.endpoints import Direction
from routing_crust.errors import LinkClosed
from routing_crust.names import Name
from routing_crust.transports import Unacknowledged
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import frame_header
from routing_crust.wire.messages import Goodbye

from ..support import Owner

PEER = VerifiedPeer(Name(b"k" * 32), b"b" * 32)
PLAN = LinkPlan(Direction.ACCEPTED, initiator=False)
HEARTBEAT = frame_header(1, 0)
NONCE = b"8 bytes."
PROBE = frame_header(1, 9) + b"\x01" + NONCE
ANSWER = frame_header(1, 9) + b"\x02" + NONCE


def frame(kind: int, payload: bytes = b"") -> bytes:
    return frame_header(kind, len(payload)) + payload


def goodbye(reason: int) -> bytes:
    return frame(5, encode(Goodbye(reason)))


class Transport(StringTransport):
    """A transport under TLS whose handshake is always fine."""

    aborted = False
    no_delay = False

    refusal: PeerRefused | None = None
    kernel: Unacknowledged | None = None

    def peer_verified(self) -> None:
        pass

    def verified_peer(self) -> VerifiedPeer:
        if self.refusal is not None:
            raise self.refusal
        return PEER

    def unacknowledged(self) -> Unacknowledged | None:
        return self.kernel

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def abortConnection(self) -> None:
        self.aborted = True

    def taken(self) -> bytes:
        """What was written since the last time."""
        data = self.value()
        self.clear()
        return data


class LinkCase(SynchronousTestCase):
    """What the tests here share."""

    settings = Settings()
    plan = PLAN

    def setUp(self) -> None:
        self.patch(receiving, "MAX_CONTROL_BYTES", 1024)
        self.patch(receiving, "MAX_UNVERIFIED_BYTES", 4096)
        self.patch(link_module, "nonce_of", lambda key, binding, number: NONCE)
        self.clock = Clock()
        self.owner = Owner(self.clock, self.settings)
        self.transport = Transport()
        self.addCleanup(lambda: self.assertEqual(self.flushLoggedErrors(), []))
        self.addCleanup(self.finish)

    def connect(self) -> Link:
        """A link whose TCP connection is made."""
        made = link_of(self.owner)
        made.addErrback(lambda failure: self.owner._heard("refused", failure.value))
        self.link = Link(self.owner, self.plan, made)
        self.link.makeConnection(self.transport)
        return self.link

    def up(self) -> Link:
        """A link whose handshake is done."""
        self.connect().handshakeCompleted()
        return self.link

    def verified(self) -> Link:
        """A link that is in use."""
        self.up().verified()
        return self.link

    def lose(self, error: Exception | None = None) -> LinkClosed:
        """Take the connection away. Returns the reason that the owner hears, once."""
        self.link.connectionLost(Failure(error or ConnectionDone()))
        ((*_, reason),) = self.owner.of("lost") or self.owner.of("refused")
        assert isinstance(reason, LinkClosed)
        return reason

    def finish(self) -> None:
        if hasattr(self, "link") and not (self.owner.of("lost") or self.owner.of("refused")):
            self.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def settle(self) -> bytes:
        """Let the turn of the reactor end. Returns what was written."""
        self.clock.advance(0)
        return self.transport.taken()
