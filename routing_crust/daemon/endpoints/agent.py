"""
HTTP by name, for C{twisted.web.client} and for treq: C{http+routing://NAME/PROTOCOL/path}, which is another
spelling of C{http://PROTOCOL.NAME.crust/path}, as the proxy of L{routing_crust.daemon.proxy} has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urljoin

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import clientFromString
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

__all__ = ["RoutingAgent"]

SCHEME: Final = b"http+routing:"
_FORM: Final = "write http+routing://NAME/PROTOCOL/path or http://PROTOCOL.NAME.crust/path"
# No colon and no equals sign: they go into the string of an endpoint, and a peer's redirect may name them.
_PROTOCOL: Final = "[A-Za-z0-9][A-Za-z0-9_+-]*"
_NAME: Final = "[A-Za-z0-9][A-Za-z0-9._-]*"
_HOST: Final = re.compile(rf"({_PROTOCOL})\.({_NAME})\.crust\.?")
_URI: Final = re.compile(
    rf"http\+routing://({_NAME})/({_PROTOCOL})(?:/|(?=[?#])|$)(.*)".encode(), re.IGNORECASE
)


@implementer(IAgentEndpointFactory)
class _Hosts:
    """Finds the endpoint of C{PROTOCOL.NAME.crust}; no other host is looked up or connected to."""

    def __init__(self, reactor: Any, options: str) -> None:
        self._reactor = reactor
        self._options = f":{options}" if options else ""

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """
        Make the endpoint of a URI.

        @raise SchemeNotSupported: it is not of this network; the text says what to write.
        """
        host = uri.host.decode("ascii", "backslashreplace")
        found = _HOST.fullmatch(host)
        if found is None:
            raise SchemeNotSupported(f"{host!r} is not of this network: {_FORM}")
        if uri.scheme != b"http":
            raise SchemeNotSupported(f"{uri.scheme!r}: {_FORM}; links are encrypted already")
        protocol, name = found.groups()
        try:
            endpoint: IStreamClientEndpoint = clientFromString(
                self._reactor, f"routing:{name}/{protocol}{self._options}"
            )
        except ValueError as error:
            raise SchemeNotSupported(f"{host!r}: {error}") from None
        return endpoint


@implementer(IAgent)
class RoutingAgent:
    """
    An agent of C{twisted.web.client} that reaches peers by name; treq takes it, too, as
    C{HTTPClient(RoutingAgent(reactor))}. It connects to nothing else, wherever a peer redirects it to.
    """

    def __init__(self, reactor: Any, options: str = "", pool: HTTPConnectionPool | None = None) -> None:
        """
        @param options: which node to use, as behind C{routing:NAME/PROTOCOL} in the string of an endpoint:
            C{state-dir=FOLDER}, for instance.
        @param pool: keeps connections for the next request to the same protocol of the same peer.
        """
        self._agent = Agent.usingEndpointFactory(reactor, _Hosts(reactor, options), pool)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """
        Send a request, as C{Agent.request} does.

        @return: fails with C{SchemeNotSupported} for a URI that is not of this network, and as
            L{routing_crust.daemon.endpoints.client.DaemonClientEndpoint.connect} does.
        """
        try:
            address = plain_uri(uri)
        except SchemeNotSupported as error:
            return fail(error)
        answered: Deferred[IResponse] = self._agent.request(method, address, headers, bodyProducer)
        if address != uri:
            answered.addCallback(_located(address))
        return answered


def plain_uri(uri: bytes) -> bytes:
    """
    Write C{http+routing://NAME/PROTOCOL/path} as C{http://PROTOCOL.NAME.crust/path}: the Host header is that
    of the proxy, the path that of the server, and a connection is not kept for another protocol.

    @return: other URIs as they are.
    @raise SchemeNotSupported: there is no such spelling of it; the text says what to write.
    """
    if uri[: len(SCHEME)].lower() != SCHEME:
        return uri
    found = _URI.fullmatch(uri)
    if found is None:
        raise SchemeNotSupported(
            f"{uri!r}: {_FORM}; a protocol with a dot needs an Agent with the endpoint routing:NAME/PROTOCOL"
        )
    name, protocol, path = found.groups()
    return b"http://%b.%b.crust/%b" % (protocol, name, path)


def _located(address: bytes) -> Callable[[IResponse], IResponse]:
    def resolve(response: IResponse) -> IResponse:
        # a program that follows a redirect knows the URI that it asked for, and no rules for its scheme
        found = response.headers.getRawHeaders(b"location")
        if found:
            response.headers.setRawHeaders(b"location", [urljoin(address, each) for each in found])
        return response

    return resolve
