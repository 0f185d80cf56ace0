"""Fetch a page of a peer: python examples/get.py http+routing://NAME/PROTOCOL/path [state-dir=FOLDER]"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.web.client import RedirectAgent, readBody

from routing_crust.daemon.endpoints.agent import RoutingAgent


async def main(reactor: object, url: str, options: str = "") -> None:
    agent = RedirectAgent(RoutingAgent(reactor, options))
    response = await agent.request(b"GET", url.encode())
    print(response.code, (await readBody(response)).decode(), end="")


if __name__ == "__main__":
    react(lambda reactor, *words: Deferred.fromCoroutine(main(reactor, *words)), sys.argv[1:])
