"""
The demonstration: C{twistd -n routing-node --demo 8} runs a network of eight nodes on loopback in one
process, with keys in memory and nothing on disk, and lets them exchange messages.

It is also an example of a program with nodes of its own: L{make_nodes} makes a network, L{Traffic} uses it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random, SystemRandom
from typing import Any, Final, cast

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..config import Role, Settings
from ..endpoints import Contact, Endpoint
from ..errors import RoutingCrustError
from ..routing.events import GroupConnectedChanged, Message, StateChanged
from ..routing.service import RoutingService
from ..timing.timers import cancel
from .logs import LoggingService

BODY: Final = b"x" * 256
"""The body of each message."""
REQUEST_SHARE: Final = 0.2
"""The share of messages that are requests."""
CONNECT_SHARE: Final = 0.02
"""The share of messages before which the node asks for a link with the destination."""
FAILURE_PAUSE_SECONDS: Final = 0.1
"""A node that cannot send pauses, or it would try without end in one turn of the reactor."""
GRACE_SECONDS: Final = 5.0
"""From the end of the time until messages under way count as lost."""
MAX_LATENCIES: Final = 100_000
"""Latencies that are kept, the latest."""


@dataclass(slots=True)
class TrafficFigures:
    """
    What happened to the messages of a period.

    @ivar acknowledged: the number of messages known to have arrived.
    @ivar failed: the number of the others.
    @ivar latencies: of the acknowledged ones, in seconds.
    """

    acknowledged: int = 0
    failed: int = 0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_LATENCIES))

    def add(self, other: TrafficFigures) -> None:
        """Add the figures of another period."""
        self.acknowledged += other.acknowledged
        self.failed += other.failed
        self.latencies.extend(other.latencies)

    def latency(self, quantile: float) -> float:
        """
        A quantile of the latencies, in milliseconds; 0 when there are none.

        @param quantile: 0.5 for the median.
        """
        ordered = sorted(self.latencies)
        return 1000 * ordered[int(quantile * (len(ordered) - 1))] if ordered else 0.0


def make_nodes(count: int, make: Callable[[Settings], RoutingService]) -> Iterator[RoutingService]:
    """
    Make and start the nodes of a new network on loopback: the first node, and others that have its contact.

    @param make: makes a service from its settings.
    """
    contacts: tuple[Contact, ...] = ()
    for number in range(count):
        node = make(
            Settings(
                network="demo",
                role=Role.NODE if number else Role.FIRST,
                listen=(Endpoint("127.0.0.1", 0),),  # port 0: the system chooses
                contacts=contacts,
                lan_discovery=False,
                ack_timeout=2,  # what has not arrived by then, in one process, never will
                max_handshakes_per_prefix=1000,  # all of them come from one address
            )
        )
        node.startService()
        # all others know only the first node, and find each other through it
        if node.contact is not None and not contacts:
            contacts = (node.contact,)
        yield node


class Traffic:
    """
    Messages between random pairs of nodes: each node sends one, waits for its outcome, and sends the next.
    One that is cancelled counts as failed.
    """

    log = Logger()

    def __init__(self, nodes: Sequence[RoutingService], clock: IReactorTime, random: Random) -> None:
        self._figures = TrafficFigures()
        self._nodes = nodes
        self._clock = clock
        self._random = random
        self._stopped = False
        for node in nodes:
            node.set_message_handler(_ignore)
            node.set_request_handler(_echo)

    def start(self) -> Deferred[None]:
        """
        Begin to send.

        @return: fires with C{None} when L{stop} has been called and no message is under way. Cancelling it
            gives up those that are.
        """
        talks = [Deferred.fromCoroutine(self._talk(node)) for node in self._nodes]
        return DeferredList(talks, fireOnOneErrback=True, consumeErrors=True).addCallback(lambda _: None)

    def stop(self) -> None:
        """Send nothing more."""
        self._stopped = True

    def take_figures(self) -> TrafficFigures:
        """The figures since the last call."""
        figures, self._figures = self._figures, TrafficFigures()
        return figures

    async def _talk(self, node: RoutingService) -> None:
        others = [each for each in self._nodes if each is not node]
        while not self._stopped:
            started = self._clock.seconds()
            try:
                await self._say_something(node, self._random.choice(others))
            except (RoutingCrustError, CancelledError) as error:
                self._failed(node, error)
                if not self._stopped:
                    await deferLater(self._clock, FAILURE_PAUSE_SECONDS)
            else:
                self._figures.acknowledged += 1
                self._figures.latencies.append(self._clock.seconds() - started)

    def _failed(self, node: RoutingService, error: Exception) -> None:
        if node.running:
            self.log.warn("{name} failed to send: {error}", name=node.node_name.short, error=error)
            self._figures.failed += 1

    async def _say_something(self, node: RoutingService, other: RoutingService) -> None:
        kind = self._random.random()
        if kind < REQUEST_SHARE:
            await node.request(other.node_name, BODY)
            return
        if kind < REQUEST_SHARE + CONNECT_SHARE:
            # not waited for: until the link is there, messages are relayed by others
            node.connect(other.node_name).addErrback(self._no_link, node)
        await node.send(other.node_name, BODY)

    def _no_link(self, failure: Failure, node: RoutingService) -> None:
        failure.trap(RoutingCrustError)
        if node.running:
            self.log.info("{name}: {problem}", name=node.node_name.short, problem=failure.value)


class DemoService(LoggingService):
    """Starts a network, reports on it every second, and stops it."""

    log = Logger()

    def __init__(
        self,
        count: int,
        seconds: float | None,
        on_end: Callable[[bool], object],
        *,
        reactor: Any,
        make_node: Callable[[Settings], RoutingService] | None = None,
        random: Random | None = None,
    ) -> None:
        """
        @param count: how many nodes.
        @param seconds: how long it runs; C{None} is until it is stopped.
        @param on_end: called when that time is over, with whether all went well.
        @param make_node: makes a node from its settings; C{None} makes a L{RoutingService} with a new key.
        """
        self._count = count
        self._seconds = seconds
        self._on_end = on_end
        self._clock: IReactorTime = reactor
        self._make_node = make_node or (lambda settings: RoutingService(settings, reactor=reactor))
        self._random = random or SystemRandom()
        self._nodes: list[RoutingService] = []
        self._traffic: Traffic | None = None
        self._talking: Deferred[None] = succeed(None)
        self._reporter = LoopingCall(self._report)
        self._reporter.clock = self._clock
        self._timer: IDelayedCall | None = None
        self._total = TrafficFigures()
        self._began = self._last_report = 0.0

    def startService(self) -> None:
        """
        Start the nodes, which begin to send when all of them are linked with their neighbours.

        @raise CannotListen: no port on loopback can be had.
        """
        Service.startService(self)
        for number, node in enumerate(make_nodes(self._count, self._make_node)):
            self._nodes.append(node)
            self._watch(number, node)
        ready = DeferredList(
            [node.when_group_connected() for node in self._nodes], fireOnOneErrback=True, consumeErrors=True
        )
        # the failure is that the service was stopped first
        ready.addCallbacks(self._begin, lambda _: None)
        if self._seconds is not None:
            self._timer = self._clock.callLater(self._seconds, self._time_is_over)

    def stopService(self) -> Deferred[None]:
        """
        Stop the traffic and then the nodes.

        @return: fires with C{None} when nothing of them is left.
        """
        Service.stopService(self)
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        cancel(self._timer)
        if self._reporter.running:
            self._reporter.stop()
        if self._traffic is not None:
            self._traffic.stop()
        # all at once: each would else try to replace the ones that have gone
        await DeferredList([node.stopService() for node in self._nodes])
        await self._talking  # what was under way has failed now

    def _watch(self, number: int, node: RoutingService) -> None:
        def say(what: str) -> None:
            self.log.info(
                "node {number} ({name}): {what}", number=number, name=node.node_name.short, what=what
            )

        def group_changed(event: GroupConnectedChanged) -> None:
            if node.running:  # that the groups break up when the nodes stop is no news
                say(
                    "linked with all neighbours"
                    if event.connected
                    else "not linked with all neighbours any more"
                )

        # the first one begins by waiting, in good health
        say(f"{node.state.value if number else 'waiting for the first peer'}, {node.contact}")
        node.observe(StateChanged, lambda event: say(event.new.value))
        node.observe(GroupConnectedChanged, group_changed)

    def _begin(self, _: object) -> None:
        self.log.info("all {count} nodes have joined, and begin to send", count=self._count)
        self._began = self._last_report = self._clock.seconds()
        self._traffic = Traffic(self._nodes, self._clock, self._random)
        self._talking = self._traffic.start()
        self._reporter.start(1.0, now=False)

    def _report(self) -> None:
        assert self._traffic is not None
        figures = self._traffic.take_figures()
        self._total.add(figures)
        now = self._clock.seconds()
        seconds, self._last_report = now - self._last_report, now
        self._write(figures, seconds)

    def _write(self, figures: TrafficFigures, seconds: float) -> None:
        links = sum(len(cast("list[object]", node.status()["links"])) for node in self._nodes)
        self.log.info(
            "{rate:.0f} messages/s: {acknowledged} acknowledged, {failed} failed; "
            "latency {median:.1f} ms median, {p99:.1f} ms p99; {links} links; "
            "{grouped} of {count} linked with all neighbours",
            rate=figures.acknowledged / seconds if seconds > 0 else 0.0,
            acknowledged=figures.acknowledged,
            failed=figures.failed,
            median=figures.latency(0.5),
            p99=figures.latency(0.99),
            links=links // 2,  # each has two ends, and both are here
            grouped=sum(node.group_connected for node in self._nodes),
            count=self._count,
        )

    def _time_is_over(self) -> None:
        if self._traffic is None:
            self.log.error("the time is over, and not all nodes are linked with their neighbours")
            self._on_end(False)
        else:
            self._ending = Deferred.fromCoroutine(self._end(self._traffic))

    async def _end(self, traffic: Traffic) -> None:
        traffic.stop()
        self._reporter.stop()
        self._talking.addTimeout(GRACE_SECONDS, self._clock)
        await self._talking
        # stopped while the last messages were waited for
        if not self.running:
            return
        self._report()
        self.log.info("in all, in {seconds:.0f} s:", seconds=self._last_report - self._began)
        self._write(self._total, self._last_report - self._began)
        self._on_end(self._total.failed == 0 and self._total.acknowledged > 0)


def _ignore(message: Message) -> None:
    """Nothing to do: only the acknowledgement matters here."""


def _echo(message: Message) -> bytes:
    return message.body
