"""AMP by name: "adding.py serve routing:adding" here, "adding.py ask routing:NAME/adding 3 4" elsewhere."""

import sys
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol, serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.protocols.amp import AMP, Argument, Command, Integer, Unicode


class Add(Command):
    arguments: ClassVar[list[tuple[bytes, Argument]]] = [(b"a", Integer()), (b"b", Integer())]
    response: ClassVar[list[tuple[bytes, Argument]]] = [(b"total", Integer()), (b"asker", Unicode())]


class Adder(AMP):
    transport: Any

    def add(self, a: int, b: int) -> dict[str, object]:
        # the name is proven: the link has checked the peer's key
        return {"total": a + b, "asker": str(self.transport.getPeer().name)}

    Add.responder(add)


async def serve(reactor: object, endpoint: str) -> None:
    await serverFromString(reactor, endpoint).listen(Factory.forProtocol(Adder))
    print("serving")
    await Deferred()


async def ask(reactor: object, endpoint: str, a: str, b: str) -> None:
    peer = await connectProtocol(clientFromString(reactor, endpoint), AMP())
    answer = await peer.callRemote(Add, a=int(a), b=int(b))
    print(answer["total"], "for", answer["asker"])


if __name__ == "__main__":
    roles: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"serve": serve, "ask": ask}
    role = roles[sys.argv[1]]
    react(lambda reactor, *words: Deferred.fromCoroutine(role(reactor, *words)), sys.argv[2:])
