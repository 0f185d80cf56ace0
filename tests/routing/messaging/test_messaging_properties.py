"""
What holds for messages whatever the network does to their frames.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import PeerUnreachable, RequestRefused, ServiceStopped
from routing_crust.limits import UNREACHABLE_SECONDS
from routing_crust.routing.events import Message
from routing_crust.routing.messaging import acknowledger, forwarder, fragmentation
from routing_crust.routing.messaging.outgoing import attempts, retries
from routing_crust.routing.messaging.outgoing import message as outgoing_message

from .messaging_net import FakeLink, FakeNet, FakeNode

Step = tuple[str, int, int, int]

steps = st.lists(
    st.tuples(
        st.sampled_from(["send", "request", "large", "cut", "link", "stall", "drain", "stop", "time"]),
        st.integers(0, 4),
        st.integers(0, 4),
        st.integers(0, 40),
    ),
    max_size=30,
)


class Run:
    """One run: five nodes, a bad network, and every result that was fired."""

    def __init__(self, seed: int, loss: float, doubling: float) -> None:
        self.random = Random(seed)
        self.loss, self.doubling = loss, doubling
        self.net = FakeNet()
        self.net.fate = self.fate
        self.nodes = [self.net.node(prefix) for prefix in ("000", "001", "010", "011", "111")]
        for left, right in zip(self.nodes, self.nodes[1:], strict=False):
            self.net.link(left, right)
        self.fired: dict[int, list[object]] = {}
        self.kinds: dict[int, str] = {}
        self.got: list[bytes] = []
        for node in self.nodes:
            node.messenger.set_message_handler(self.message)
            node.messenger.set_request_handler(self.request)

    def fate(self, link: FakeLink, kind: int, payload: bytes) -> list[float]:
        copies = 2 if self.random.random() < self.doubling else 1
        return [self.random.random() * 3 for _ in range(copies) if self.random.random() >= self.loss]

    def message(self, message: Message) -> None:
        self.got.append(message.body)

    def request(self, message: Message) -> Any:
        self.got.append(message.body)
        choice = self.random.randrange(4)
        if choice == 0:
            later: Deferred[bytes] = Deferred()
            self.net.clock.callLater(self.random.random() * 50, self.arrived, later, message.body)
            return later
        return message.body if choice < 3 else None

    def arrived(self, later: Deferred[bytes], body: bytes) -> None:
        """A slow answer is there. (Its name keeps it out of what counts as a timer of the nodes.)"""
        later.callback(body)

    def do(self, step: Step) -> None:
        what, one, other, number = step
        source, target = self.nodes[one], self.nodes[other]
        if what in ("send", "request", "large"):
            self.send(what, source, target, number)
        elif what == "time":
            self.net.run(number)
        elif what == "stop":
            if number < 5:
                source.messenger.stop()
        elif what == "link":
            if source is not target:
                self.net.link(source, target)
        else:
            link = source.links.get(target.name)
            if link is not None:
                {"cut": link.cut, "stall": lambda: link.stall(number % 5), "drain": link.drain}[what]()

    def send(self, what: str, source: FakeNode, target: FakeNode, number: int) -> None:
        key = len(self.fired)
        self.fired[key] = []
        self.kinds[key] = what
        body = b"%d:" % key + bytes(number * 100 if what == "large" else number)
        messenger = source.messenger
        sent: Deferred[Any] = (messenger.request if what == "request" else messenger.send)(target.name, body)
        sent.addBoth(self.fired[key].append)


class Properties(SynchronousTestCase):
    """Under loss, doubling and reordering, with links that come and go."""

    def setUp(self) -> None:
        for module in (acknowledger, attempts):
            self.patch(module, "PART_BYTES", 1024)
        self.set_attempts(4)

    def set_attempts(self, attempts: int) -> None:
        for module in (forwarder, fragmentation, retries):
            self.patch(module, "MAX_ATTEMPTS", attempts)

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 1 << 30), st.floats(0, 0.6), st.floats(0, 0.5), steps)
    def test_every_send_fires_once_and_is_delivered_at_most_once(
        self, seed: int, loss: float, doubling: float, script: list[Step]
    ) -> None:
        run = Run(seed, loss, doubling)
        for step in script:
            run.do(step)
        run.net.run(UNREACHABLE_SECONDS + 1)
        for results in run.fired.values():
            self.assertEqual(len(results), 1)
        self.assertEqual(len(run.got), len(set(run.got)))
        delivered = {int(body.split(b":")[0]) for body in run.got}
        for key, (result,) in run.fired.items():
            if not isinstance(result, Failure):
                self.assertIn(key, delivered)
        self.flushLoggedErrors()
        run.net.stop()
        self.assertEqual(run.net.timers, [])
        self.assertEqual([error for node in run.nodes for error in node.problems], [])

    def test_every_message_arrives_under_moderate_loss(self) -> None:
        self.set_attempts(12)
        self.patch(outgoing_message, "UNREACHABLE_SECONDS", 240)
        for seed in range(20):
            run = Run(seed, 0.1, 0.1)
            for one in run.nodes:
                for other in run.nodes:
                    if one.name < other.name and seed % 2:
                        run.net.link(one, other)
            for number in range(10):
                run.send("send", run.nodes[number % 4], run.nodes[number % 4 + 1], number)
            run.net.run(240 + 1)
            self.assertEqual([result for (result,) in run.fired.values()], [None] * 10)
            run.net.stop()

    @settings(deadline=None, max_examples=30)
    @given(st.binary(max_size=300), st.sampled_from([6, 7, 8]))
    def test_garbage_raises_nothing_but_what_closes_the_link(self, payload: bytes, kind: int) -> None:
        net = FakeNet()
        one, two = net.node("00"), net.node("11")
        net.link(one, two).other.arrived(kind, payload)
        self.assertLessEqual(len(two.problems), 1)
        net.stop()
        self.assertEqual(net.timers, [])

    def test_failures_are_of_the_promised_kinds(self) -> None:
        kinds: set[type] = set()
        for seed in range(10):
            run = Run(seed, 0.5, 0.2)
            for number in range(20):
                what = ("send", "request", "large")[number % 3]
                run.do((what, number % 5, (number * 3) % 5, number))
            run.net.run(30)
            run.nodes[0].messenger.stop()
            run.net.run(81)
            kinds |= {each[0].type for each in run.fired.values() if isinstance(each[0], Failure)}
            run.net.stop()
        self.flushLoggedErrors()
        self.assertLessEqual(kinds, {PeerUnreachable, RequestRefused, ServiceStopped})
