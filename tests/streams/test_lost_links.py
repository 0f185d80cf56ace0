"""Links of streams are lost, or another takes their place."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import Name
from routing_crust.config import MIB
from routing_crust.endpoints import Connection, Endpoint, Protocol
from routing_crust.errors import (
    CloseReason,
    ServiceStopped,
)
from routing_crust.routing.links.stream_layer import LAST_STREAM_KIND
from routing_crust.routing.state import State
from routing_crust.streams import (
    StreamLinkLost,
    StreamReason,
    StreamRefused,
    streams_of,
)
from routing_crust.streams.frames import Resume, StreamFrame, open_frame, pack_number, resume_frame
from tests.routing.net import Net

from .case import StreamsCase
from .protocols import Echo, HalfCloseable, Keeping


class LossTests(StreamsCase):
    def setUp(self) -> None:
        super().setUp()
        self.one, self.two_ = self.two(stream_survival=0)
        self.served = Keeping(HalfCloseable)
        streams_of(self.one).listen("echo", self.served)
        self.mine = self.open(self.two_, self.one.node_name)
        self.theirs = self.served.made[0]

    def ends(self, *kinds: type[Exception]) -> None:
        for each in (self.mine, self.theirs):
            self.assertIsInstance(each.reason, ConnectionLost)
            self.assertEqual(each.calls, ["made", "lost"])
        for streams in (streams_of(self.one), streams_of(self.two_)):
            self.assertEqual(streams.status()["open"], {})

    def test_cut_link_ends_streams_that_may_not_be_suspended(self) -> None:
        """All end at once, with the reason; new ones come over a new link."""
        self.mine.transport.write(bytes(MIB))
        self.net.network.cut(self.net.network.links[0])
        self.net.run(lambda: self.mine.reason and self.theirs.reason, timeout=1)
        self.ends()
        self.assertIn("the link to the peer is gone: the connection was lost", str(self.mine.reason))
        self.net.run(lambda: self.two_.state is State.CONNECTED, timeout=300)
        self.open(self.two_, self.one.node_name)

    def test_stopped_peer_ends_all_streams(self) -> None:
        self.net.result(self.one.stopService())
        self.net.run(lambda: self.mine.reason, timeout=1)
        self.ends()
        self.assertIn("the service is stopping", str(self.mine.reason))
        self.assertIn("the service has been stopped", str(self.theirs.reason))

    def test_we_stop_and_start(self) -> None:
        """What is pending ends, what is aborted just now hears of it, and ports last until the next start."""
        aborted = self.open(self.two_, self.one.node_name)
        pending = streams_of(self.two_).open(self.one.node_name, "echo", Keeping())
        aborted.transport.abortConnection()
        self.net.result(self.two_.stopService())
        self.failureResultOf(pending, ServiceStopped)
        self.assertEqual(aborted.calls, ["made", "lost"])
        self.failureResultOf(
            streams_of(self.two_).open(self.one.node_name, "echo", Keeping()), ServiceStopped
        )
        streams_of(self.two_).listen("echo", Keeping(Echo))
        self.two_.startService()
        self.net.run(lambda: self.two_.state is State.CONNECTED, timeout=300)
        self.net.settle(5)
        self.open(self.one, self.two_.node_name)
        self.open(self.two_, self.one.node_name)

    def test_restarted_peer_knows_no_old_streams(self) -> None:
        """A new incarnation knows nothing of the old one's streams."""
        self.net.crash(self.two_, silently=True)
        again = self.net.restart(self.two_)
        self.net.run(lambda: self.theirs.reason, timeout=300)
        self.net.run(lambda: again.group_connected, timeout=300)
        self.open(again, self.one.node_name)

    def test_protocol_may_stop_the_node_when_it_is_lost(self) -> None:
        """A protocol that stops the whole node when it loses its stream."""
        stopped: list[Any] = []
        self.mine.connectionLost = lambda reason: stopped.append(self.two_.stopService())
        self.theirs.transport.abortConnection()
        self.net.run(lambda: stopped)
        self.net.result(stopped[0])

    def test_protocol_error_ends_the_link(self) -> None:
        """A peer that sends what it may not loses the link; frames without a layer are dropped."""
        (mine,) = self.net.crust(self.two_).links
        mine.send(StreamFrame.DATA, pack_number(99) + b"x")
        self.net.run(lambda: self.mine.reason and self.theirs.reason, timeout=1)
        self.ends()
        reason: Any = self.theirs.reason
        self.assertIs(reason.problem.reason, CloseReason.PROTOCOL_ERROR)

    def test_node_without_streams_drops_their_frames(self) -> None:
        """A node that has no streams drops their frames, so an opener hears nothing and gives up."""
        net = self.net
        other = net.node()
        net.until_joined()
        link = next(each for each in net.crust(self.two_).links if each.peer == other.node_name)
        link.send(LAST_STREAM_KIND, b"")
        link.send(StreamFrame.OPEN, open_frame(77, 1, 0, "echo"))
        error = self.fails(streams_of(self.two_).open(other.node_name, "echo", Keeping()), StreamRefused)
        self.assertIs(error.reason, StreamReason.TOO_SLOW)
        # and when it has some later, all is well
        streams_of(other).listen("echo", Keeping(Echo))
        net.settle(1)
        self.open(self.two_, other.node_name)


class FakeLink:
    """A link of which one can see what is done with it."""

    connection = Connection(Protocol.TCP, Endpoint("127.0.0.1", 1), Endpoint("127.0.0.1", 2))

    def __init__(self, peer: Name) -> None:
        self.peer = peer
        self.sent: list[tuple[int, bytes]] = []
        self.feeder: Any = None
        self.hungry = False

    def send(self, kind: int, payload: bytes) -> None:
        self.sent.append((kind, payload))

    def set_feeder(self, feeder: Any) -> None:
        self.feeder = feeder

    def feed_soon(self) -> None:
        self.hungry = True


class SwapTests(SynchronousTestCase):
    """The link of a peer takes the place of another."""

    def test_streams_go_on_over_a_replaced_link(self) -> None:
        """Each frame is sent once, over the one link or the other, in order; nothing is forgotten."""
        net = Net()
        node = net.make(net.identity(), net.node().settings)
        streams = streams_of(node)
        peer = net.identity().name
        old, new = FakeLink(peer), FakeLink(peer)
        served = Keeping()
        streams.listen("echo", served)
        streams.link_gained(old)  # type: ignore[arg-type]
        self.assertEqual([kind for kind, _ in old.sent], [StreamFrame.RESUME])
        old.sent.clear()
        streams.frame_received(old, StreamFrame.RESUME, resume_frame(Resume(7, 0, 1, 0)))  # type: ignore[arg-type]
        theirs = 1 if peer < node.node_name else 2
        streams.frame_received(old, StreamFrame.OPEN, open_frame(theirs, 1 << 20, 600, "echo"))  # type: ignore[arg-type]
        protocol = served.made[0]
        self.assertEqual([kind for kind, _ in old.sent], [StreamFrame.OPENED])
        protocol.transport.write(b"one")
        old.feeder(1000)
        protocol.transport.write(b"two")
        streams.link_changed(old, new)  # type: ignore[arg-type]
        self.assertEqual((old.feeder, new.hungry), (None, True))
        new.feeder(1000)
        streams.frame_received(new, StreamFrame.DATA, pack_number(theirs) + b"back")  # type: ignore[arg-type]
        self.assertEqual(old.sent[1:], [(StreamFrame.DATA, pack_number(theirs) + b"one")])
        self.assertEqual(new.sent, [(StreamFrame.DATA, pack_number(theirs) + b"two")])
        self.assertEqual(protocol.received, b"back")
        streams.stopped()
        self.assertIsInstance(protocol.reason, StreamLinkLost)
        self.assertIsNone(new.feeder)
        # a frame that is still on its way is nobody's
        streams.frame_received(new, StreamFrame.DATA, pack_number(theirs) + b"late")  # type: ignore[arg-type]
        net.stop()
