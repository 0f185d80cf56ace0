import sys
from collections.abc import Callable, Coroutine
from typing import Any

from foolscap.api import Referenceable, Tub
from foolscap.ipb import IConnectionHintHandler, InvalidHintError
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer


class StartsTls(ProtocolWrapper):
    """A transport that can be told to speak TLS, which is how a Tub proves who it is."""

    tls: Any = None

    def startTLS(self, context: Any) -> None:
        factory = TLSMemoryBIOFactory(context, self.factory.is_client, Factory())
        self.tls = TLSMemoryBIOProtocol(factory, self.wrappedProtocol, False)
        self.tls.makeConnection(self.transport)

    @property
    def way(self) -> Any:
        return self.tls or self.transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self.way, name)

    def write(self, data: bytes) -> None:
        self.way.write(data)

    def writeSequence(self, data: list[bytes]) -> None:
        self.way.write(b"".join(data))

    def loseConnection(self) -> None:
        self.way.loseConnection()

    def registerProducer(self, producer: object, streaming: bool) -> None:
        self.way.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        self.way.unregisterProducer()

    def dataReceived(self, data: bytes) -> None:
        (self.tls or self.wrappedProtocol).dataReceived(data)

    def connectionLost(self, reason: Any) -> None:  # type: ignore[override]
        if self.tls is not None:
            self.wrappedProtocol = self.tls
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class StartsTlsFactory(WrappingFactory):
    protocol = StartsTls
    is_client = False

    def buildProtocol(self, address: Any) -> Any:
        # a Tub tells where a connection came from by host and port
        return super().buildProtocol(IPv4Address("TCP", str(address.name), 0))


class ClientFactory(StartsTlsFactory):
    is_client = True


@implementer(IStreamClientEndpoint)
class StartsTlsClient:
    """A client endpoint whose transports can be told to speak TLS."""

    def __init__(self, endpoint: Any) -> None:
        self.endpoint = endpoint

    def connect(self, factory: Any) -> Any:
        wrapping = ClientFactory(factory)  # type: ignore[no-untyped-call]
        return self.endpoint.connect(wrapping).addCallback(lambda made: made.wrappedProtocol)


@implementer(IStreamServerEndpoint)
class StartsTlsServer:
    """A server endpoint whose transports can be told to speak TLS."""

    def __init__(self, endpoint: Any) -> None:
        self.endpoint = endpoint

    def listen(self, factory: Any) -> Any:
        wrapping = StartsTlsFactory(factory)  # type: ignore[no-untyped-call]
        return self.endpoint.listen(wrapping)


@implementer(IConnectionHintHandler)
class RoutingHints:
    """Understands the hint routing:NAME:PROTOCOL; the options are those behind routing:NAME/PROTOCOL."""

    def __init__(self, *options: str) -> None:
        self.options = options

    def hint_to_endpoint(self, hint: str, reactor: object, update_status: object) -> tuple[object, str]:
        _, _, rest = hint.partition(":")
        name, _, protocol = rest.partition(":")
        try:
            endpoint = clientFromString(reactor, ":".join((f"routing:{name}/{protocol}", *self.options)))
        except ValueError as error:
            raise InvalidHintError(f"{hint}: {error}") from None
        return StartsTlsClient(endpoint), f"{protocol}.{name}.crust"

    def describe(self) -> str:
        return "routing"


def tub(*options: str) -> Any:
    made = Tub()
    made.removeAllConnectionHintHandlers()
    made.addConnectionHintHandler("routing", RoutingHints(*options))
    made.startService()
    return made


class Quotes(Referenceable):  # type: ignore[misc]
    def remote_quote(self, symbol: str) -> str:
        return f"{symbol}: {len(symbol)}"


async def serve(reactor: object, name: str, *options: str) -> None:
    serving = tub()
    serving.listenOn(StartsTlsServer(serverFromString(reactor, ":".join(("routing:quotes", *options)))))
    serving.setLocation(f"routing:{name}:quotes")
    print(serving.registerReference(Quotes()))
    await Deferred()


async def ask(reactor: object, furl: str, symbol: str, *options: str) -> None:
    asking = tub(*options)
    quotes = await asking.getReference(furl)
    print(await quotes.callRemote("quote", symbol))
    await asking.stopService()


if __name__ == "__main__":
    roles: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"serve": serve, "ask": ask}
    role = roles[sys.argv[1]]
    react(lambda reactor, *words: Deferred.fromCoroutine(role(reactor, *words)), sys.argv[2:])
