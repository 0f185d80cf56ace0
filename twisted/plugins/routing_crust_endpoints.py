"""
What makes the endpoints C{routing:NAME/PROTOCOL} and C{routing:PROTOCOL} known to Twisted.

Twisted loads this file whenever it looks for an endpoint of any kind, so everything else is loaded later.
"""

from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(IPlugin, IStreamClientEndpointStringParserWithReactor, IStreamServerEndpointStringParser)
class RoutingEndpoints:
    """Reads the strings that begin with C{routing:}."""

    prefix = "routing"

    def parseStreamClient(self, reactor, *args, **kwargs):
        """Where to connect to; see L{routing_crust.daemon.endpoints.strings}."""
        from routing_crust.daemon.endpoints.strings import parse_client

        return parse_client(reactor, *args, **kwargs)

    def parseStreamServer(self, reactor, *args, **kwargs):
        """Where to listen; see L{routing_crust.daemon.endpoints.strings}."""
        from routing_crust.daemon.endpoints.strings import parse_server

        return parse_server(reactor, *args, **kwargs)


routing_endpoints = RoutingEndpoints()
