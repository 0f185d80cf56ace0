"""Fetch a page over HTTP from wherever the string of an endpoint says, such as routing:NAME/web."""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.task import react
from twisted.web.client import Agent, readBody
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer


@implementer(IAgentEndpointFactory)
class ByString:
    def __init__(self, reactor: object, string: str) -> None:
        self.endpoint = clientFromString(reactor, string)

    def endpointForURI(self, uri: object) -> object:
        return self.endpoint


async def main(reactor: object, string: str, path: str) -> None:
    agent = Agent.usingEndpointFactory(reactor, ByString(reactor, string))
    response = await agent.request(b"GET", b"http://peer" + path.encode())
    print((await readBody(response)).decode(), end="")


if __name__ == "__main__":
    react(lambda reactor, *words: Deferred.fromCoroutine(main(reactor, *words)), sys.argv[1:])
