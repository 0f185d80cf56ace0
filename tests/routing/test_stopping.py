"""
A service that is stopped from within: by whatever it calls of the application.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from routing_crust import Endpoint, Message, Name, Request, Role, RoutingService, Settings
from routing_crust.crust.link.link import CLOSE_TIMEOUT_SECONDS
from routing_crust.routing import events
from routing_crust.streams import (
    IStreamAcceptor,
    RoutingClientEndpoint,
    RoutingServerEndpoint,
    streams_of,
)
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


@implementer(IHalfCloseableProtocol)
class _HalfStopper(_Stopper):
    """Also hears of half-closes."""

    def readConnectionLost(self) -> None:
        """Unless it stops the service here, it keeps its own half open."""

    def writeConnectionLost(self) -> None:
        """Likewise."""


@implementer(IPushProducer)
class _Producer(Protocol):
    """Writes more than a stream takes, and stops its service when it is told about it."""

    def __init__(self, where: str, stop: Stop) -> None:
        setattr(self, where, lambda *_: stop())
        self.streaming = where != "resumeProducing"

    def connectionMade(self) -> None:
        transport: Any = self.transport
        # one that is not streaming is asked for data at once
        transport.registerProducer(self, self.streaming)
        transport.write(bytes(1024 * 1024))

    def pauseProducing(self) -> None:
        """Nothing more is written anyway."""

    def resumeProducing(self) -> None:
        """Likewise."""

    def stopProducing(self) -> None:
        """Likewise."""


class _StoppingFactory(Factory):
    """Stops its service in one of its own methods."""

    def __init__(self, where: str, stop: Stop) -> None:
        really = getattr(self, where)

        def stopping(*arguments: Any) -> Any:
            stop()
            return really(*arguments)

        setattr(self, where, stopping)

    def buildProtocol(self, addr: object) -> Protocol:
        return _Echo()


@implementer(IStreamAcceptor)
class _StoppingAcceptor(_StoppingFactory):
    def accept_stream(self, address: object) -> Deferred[Protocol]:
        return Deferred()  # it never decides


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


def _with_factory(make: Callable[[Stop], Factory]) -> Arrange:
    """Open a stream with this factory, to a program that ends it."""

    def arrange(service: RoutingService, other: RoutingService, stop: Stop) -> None:
        def opened(protocol: Protocol) -> None:
            transport: Any = protocol.transport
            if transport is not None:
                transport.write(b"x")
                transport.loseWriteConnection()

        streams_of(other).listen("echo", Factory.forProtocol(_Echo), allow=lambda name: True)
        opening = streams_of(service).open(other.node_name, "echo", make(stop))
        opening.addCallbacks(opened, lambda _: None)  # type: ignore[arg-type]

    return arrange


def _offered(make: Callable[[Stop], Factory], allow: Callable[[Stop], Callable[[Name], bool]]) -> Arrange:
    """Offer a protocol with this factory and this function that allows it; the neighbour opens a stream."""

    def arrange(service: RoutingService, other: RoutingService, stop: Stop) -> None:
        streams_of(service).listen("stop", make(stop), allow=allow(stop))
        streams_of(other).open(service.node_name, "stop", Factory.forProtocol(Protocol)).addErrback(
            lambda _: None
        )

    return arrange


def _allow(name: Name) -> bool:
    return True


def _stop_and_allow(stop: Stop) -> Callable[[Name], bool]:
    def allow(name: Name) -> bool:
        stop()
        return True

    return allow


def _deferred(begin: Callable[[RoutingService, RoutingService], Deferred[Any]]) -> Arrange:
    """Stop when a Deferred fires; the neighbour offers an echo and answers requests."""

    def arrange(service: RoutingService, other: RoutingService, stop: Stop) -> None:
        streams_of(other).listen("echo", Factory.forProtocol(_Echo), allow=_allow)
        other.set_request_handler(lambda request: request.body)
        _when(begin(service, other), stop)

    return arrange


def _unanswered(service: RoutingService, other: RoutingService, stop: Stop) -> None:
    other.set_request_handler(lambda request: Deferred())
    _when(service.request(other.node_name, b"x", timeout=3.0), stop)  # type: ignore[arg-type]


def _coroutine(of: str) -> Arrange:
    """Have a handler that is a coroutine stop the service in its middle."""

    def arrange(service: RoutingService, other: RoutingService, stop: Stop) -> None:
        async def handler(message: Message) -> bytes:
            if isinstance(message, Request):
                message.extend(100.0)
            stop()
            await succeed(None)
            return b"too late"

        if of == "request":
            service.set_request_handler(handler)
            other.request(service.node_name, b"x").addErrback(lambda _: None)
        else:
            service.set_message_handler(handler)
            other.send(service.node_name, b"x").addErrback(lambda _: None)

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
    "request_group": _deferred(lambda service, other: service.request_group(other.node_name, b"x")),
    "request that is answered": _deferred(lambda service, other: service.request(other.node_name, b"x")),
    "request out of time": _unanswered,
    "when_writable": _deferred(
        lambda service, other: service.connect(other.node_name).addCallback(lambda link: link.when_writable())
    ),
    "streams.open": _deferred(
        lambda service, other: streams_of(service).open(
            other.node_name, "echo", Factory.forProtocol(Protocol)
        )
    ),
    "client endpoint": _deferred(
        lambda service, other: RoutingClientEndpoint(service, other.node_name, "echo").connect(
            Factory.forProtocol(Protocol)
        )
    ),
    "server endpoint": _deferred(
        lambda service, other: RoutingServerEndpoint(service, "mine").listen(Factory.forProtocol(Protocol))
    ),
    "stopListening": _deferred(
        lambda service, other: maybeDeferred(
            streams_of(service).listen("mine", Factory.forProtocol(Protocol)).stopListening
        )
    ),
    "message handler": _message,
    "message handler, a coroutine": _coroutine("message"),
    "request handler, a coroutine": _coroutine("request"),
    "request handler": _request,
    "frame handler": _frame,
    "stream, connectionMade": _stream("connectionMade"),
    "stream, dataReceived": _stream("dataReceived"),
    "stream, connectionLost": _stream("connectionLost"),
    **{
        f"stream, {where}": _with_factory(lambda stop, where=where: _StoppingFactory(where, stop))  # type: ignore[misc]
        for where in ("startFactory", "buildProtocol", "stopFactory")
    },
    **{
        f"stream, {where}": _with_factory(
            lambda stop, where=where: Factory.forProtocol(lambda: _HalfStopper(where, stop))  # type: ignore[misc, arg-type]
        )
        for where in ("readConnectionLost", "writeConnectionLost")
    },
    **{
        f"stream, {where}": _with_factory(
            lambda stop, where=where: Factory.forProtocol(lambda: _Producer(where, stop))  # type: ignore[misc, arg-type]
        )
        for where in ("pauseProducing", "resumeProducing", "stopProducing")
    },
    "accepted stream, allow": _offered(lambda stop: Factory.forProtocol(_Echo), _stop_and_allow),
    "accepted stream, buildProtocol": _offered(
        lambda stop: _StoppingFactory("buildProtocol", stop), lambda stop: _allow
    ),
    "accepted stream, accept_stream": _offered(
        lambda stop: _StoppingAcceptor("accept_stream", stop), lambda stop: _allow
    ),
    "accepted stream, connectionMade": _served("connectionMade"),
    "accepted stream, dataReceived": _served("dataReceived"),
    "accepted stream, connectionLost": _served("connectionLost"),
}
"""Calls of the application by a service that has its place in the network."""

FROM_THE_START: Final[dict[str, Arrange]] = {
    "when_connected": lambda service, other, stop: _when(service.when_connected(), stop),  # type: ignore[arg-type]
    "when_bootstrapped": lambda service, other, stop: _when(service.when_bootstrapped(), stop),  # type: ignore[arg-type]
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
        left: list[object] = []

        def stop(*_: object) -> None:
            if not stopped:
                stopped.append(service.stopService())
                # trial looks as soon as this Deferred of a test has fired
                stopped[0].addCallback(lambda _: left.extend(service.clock.getDelayedCalls()))  # type: ignore[attr-defined]

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
        self.assertEqual(left, [], f"{name}, when the stop was told to be over")
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


class NaturalTests(TestCase):
    """What a test of an application does first, on loopback: trial itself looks for what is left behind."""

    def pair(self) -> tuple[RoutingService, RoutingService]:
        """Two started services, of which the second has the first as its contact."""
        here = (Endpoint("127.0.0.1", 0),)
        first = RoutingService(Settings(role=Role.FIRST, listen=here, lan_discovery=False))
        first.startService()
        assert first.contact is not None
        second = RoutingService(Settings(contacts=(first.contact,), listen=here, lan_discovery=False))
        second.startService()
        return first, second

    async def test_a_service_is_stopped_right_after_it_is_connected(self) -> None:
        first, second = self.pair()
        await second.when_connected()
        await second.stopService()
        await first.stopService()

    def test_a_service_is_stopped_in_the_callback_of_being_connected(self) -> None:
        first, second = self.pair()
        stopped: Deferred[Any] = second.when_connected().addCallback(lambda _: second.stopService())
        return stopped.addCallback(lambda _: first.stopService())  # type: ignore[return-value]

    async def test_services_are_stopped_at_once_after_a_message(self) -> None:
        first, second = self.pair()
        await second.when_connected()
        await second.send(first.node_name, b"x")
        await gatherResults([first.stopService(), second.stopService()])
