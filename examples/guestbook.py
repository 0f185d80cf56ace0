"""
Perspective Broker by name: "guestbook.py serve routing:guests" here, and elsewhere
"guestbook.py write routing:NAME/guests hello". The guests need no passwords: each has its proven name.
"""

import sys
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.task import react
from twisted.spread import pb


class Guest(pb.Referenceable):
    """What one peer may call."""

    def __init__(self, broker: pb.Broker, book: list[str]) -> None:
        self.broker = broker
        self.book = book

    def remote_write(self, text: str) -> list[str]:
        transport: Any = self.broker.transport
        self.book.append(f"{transport.getPeer().name}: {text}")
        return self.book


class Guestbook(pb.Root):
    def __init__(self) -> None:
        self.book: list[str] = []

    def rootObject(self, broker: pb.Broker) -> Guest:
        return Guest(broker, self.book)


async def serve(reactor: object, endpoint: str) -> None:
    await serverFromString(reactor, endpoint).listen(pb.PBServerFactory(Guestbook()))
    print("serving")
    await Deferred()


async def write(reactor: object, endpoint: str, text: str) -> None:
    factory = pb.PBClientFactory()
    await clientFromString(reactor, endpoint).connect(factory)
    guest = await factory.getRootObject()
    print(*await guest.callRemote("write", text), sep="\n")
    factory.disconnect()


if __name__ == "__main__":
    roles: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"serve": serve, "write": write}
    role = roles[sys.argv[1]]
    react(lambda reactor, *words: Deferred.fromCoroutine(role(reactor, *words)), sys.argv[2:])
