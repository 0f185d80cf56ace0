"""
A service that is stopped from within: by whatever it calls of the application.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import RoutingService
from routing_crust.crust.link.link import CLOSE_TIMEOUT_SECONDS
from routing_crust.routing import events
from routing_crust.streams import streams_of
from routing_crust.testing import SimulatedNetwork

Stop = Callable[..., None]
Arrange = Callable[[RoutingService, RoutingService, Stop], object]
"""Has the first service call the function when it comes to it; the second is its neighbour."""


def _when(deferred: Deferred[object], stop: Stop) -> None:
    # the outcome does not matter here: most of these fail, since the service stops
    deferred.addBoth(lambda _: stop())


class _Stopper(Protocol):
    """Stops its service in one of its callbacks."""

    def __init__(self, where: str, stop: Stop) -> None:
        setattr(self, where, lambda *_: stop())


class _Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)
        self.transport.loseConnection()


def _stream(where: str) -> Arrange:
    """Open a stream whose protocol stops the service in this callback."""

    def arrange(service: RoutingService, other: RoutingService, stop: Stop) -> None:
        def opened(protocol: Protocol) -> None:
            if protocol.transport is not None:
                protocol.transport.write(b"x")

        streams_of(other).listen("echo", Factory.forProtocol(_Echo), allow=lambda name: True)
        factory = Factory.forProtocol(lambda: _Stopper(where, stop))  # type: ignore[arg-type]
        streams_of(service).open(other.node_name, "echo", factory).addCallbacks(opened, lambda _: None)

    return arrange


def _served(where: str) -> Arrange:
    """Accept a stream whose protocol stops the service in this callback."""

    def arrange(service: RoutingService, other: RoutingService, stop: Stop) -> None:
        factory = Factory.forProtocol(lambda: _Stopper(where, stop))  # type: ignore[arg-type]
        streams_of(service).listen("stop", factory, allow=lambda name: True)

        def opened(protocol: Protocol) -> None:
            if protocol.transport is not None:
                protocol.transport.write(b"x")
                protocol.transport.loseConnection()

        streams_of(other).open(service.node_name, "stop", Factory.forProtocol(Protocol)).addCallbacks(
            opened, lambda _: None
        )

    return arrange


def _message(service: RoutingService, other: RoutingService, stop: Stop) -> None:
    service.set_message_handler(stop)
    other.send(service.node_name, b"x").addBoth(lambda _: None)


def _request(service: RoutingService, other: RoutingService, stop: Stop) -> None:
    def handler(message: object) -> bytes:
        stop()
        return b"too late"

    service.set_request_handler(handler)
    other.request(service.node_name, b"x").addBoth(lambda _: None)


def _frame(service: RoutingService, other: RoutingService, stop: Stop) -> None:
    service.set_frame_handler(stop)
    other.connect(service.node_name).addCallback(lambda link: link.send(200, b"x")).addErrback(lambda _: None)


def _observer(event: type[object]) -> Arrange:
    return lambda service, other, stop: service.observe(event, stop)


IN_A_NETWORK: Final[dict[str, Arrange]] = {
    "send": lambda service, other, stop: _when(service.send(other.node_name, b"x"), stop),  # type: ignore[arg-type]
    "request": lambda service, other, stop: _when(service.request(other.node_name, b"x"), stop),  # type: ignore[arg-type]
    "send_to_group": lambda service, other, stop: _when(
        service.send_to_group(other.node_name, b"x"),  # type: ignore[arg-type]
        stop,
    ),
    "close_group": lambda service, other, stop: _when(service.close_group(other.node_name), stop),  # type: ignore[arg-type]
    "connect": lambda service, other, stop: _when(service.connect(other.node_name), stop),  # type: ignore[arg-type]
    "message handler": _message,
    "request handler": _request,
    "frame handler": _frame,
    "stream, connectionMade": _stream("connectionMade"),
    "stream, dataReceived": _stream("dataReceived"),
    "stream, connectionLost": _stream("connectionLost"),
    "accepted stream, connectionMade": _served("connectionMade"),
    "accepted stream, dataReceived": _served("dataReceived"),
    "accepted stream, connectionLost": _served("connectionLost"),
}
"""Calls of the application by a service that has its place in the network."""

FROM_THE_START: Final[dict[str, Arrange]] = {
    "when_connected": lambda service, other, stop: _when(service.when_connected(), stop),  # type: ignore[arg-type]
    "when_group_connected": lambda service, other, stop: _when(service.when_group_connected(), stop),  # type: ignore[arg-type]
    **{
        event.__name__: _observer(event)
        for event in (
            events.StateChanged,
            events.GroupConnectedChanged,
            events.PeerJoined,
            events.PeerLeft,
            events.LinkGained,
            events.LinkLost,
            events.LinkChanged,
            events.EndpointsChanged,
            events.ReachabilityChanged,
        )
    },
}
"""Calls of the application that come while a service joins, or when it has lost a neighbour."""


class StoppingTests(SynchronousTestCase):
    def stop_from(self, name: str, arrange: Arrange, *, joined: bool) -> bool:
        """
        Stop a service from one of its calls.

        @param joined: whether it joins first.
        @return: whether the call came.
        """
        network = SimulatedNetwork(seed=5, latency=0.02)
        first, other, third = network.nodes(3)
        self.assertIsNotNone(third)
        network.run_until(network.joined, 60.0)
        node = network.node(start=False)
        service = node.service
        stopped: list[Deferred[None]] = []

        def stop(*_: object) -> None:
            if not stopped:
                stopped.append(service.stopService())

        if joined:
            node.start()
            network.run_until(network.joined, 60.0)
            arrange(service, other.service, stop)
        else:
            arrange(service, other.service, stop)
            node.start()
        network.run_for(10.0)
        if not stopped:
            first.crash()  # so that some events come that a healthy network does not have
            network.run_for(120.0)
        came = bool(stopped)
        stop()
        network.run_for(CLOSE_TIMEOUT_SECONDS + 1.0)
        self.successResultOf(stopped[0])
        self.assertEqual(service.clock.getDelayedCalls(), [], name)  # type: ignore[attr-defined]
        network.stop()
        return came

    def test_stopping_from_a_call_of_a_joined_service_leaves_no_timer(self) -> None:
        for name, arrange in IN_A_NETWORK.items():
            self.assertTrue(self.stop_from(name, arrange, joined=True), name)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_stopping_from_an_event_leaves_no_timer(self) -> None:
        came = {
            name for name, arrange in FROM_THE_START.items() if self.stop_from(name, arrange, joined=False)
        }
        self.assertEqual(set(FROM_THE_START) - came, {"ReachabilityChanged"})
        self.assertEqual(self.flushLoggedErrors(), [])
