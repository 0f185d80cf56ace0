"""
Byte streams between nodes, by name: any Twisted protocol over the links of routing.

L{streams_of<routing_crust.streams.service.streams_of>} gives the streams of a
L{RoutingService<routing_crust.routing.service.RoutingService>}.
"""

from .address import NodeAddress
from .endpoints import RoutingClientEndpoint, RoutingServerEndpoint
from .errors import StreamLinkLost, StreamRefused, StreamReset
from .frames import StreamReason
from .listening import IStreamAcceptor, StreamPort
from .opening import EarlyData
from .service import Streams, streams_of
from .survival.suspension import ISuspensionListener
from .transport import StreamTransport

__all__ = [
    "EarlyData",
    "IStreamAcceptor",
    "ISuspensionListener",
    "NodeAddress",
    "RoutingClientEndpoint",
    "RoutingServerEndpoint",
    "StreamLinkLost",
    "StreamPort",
    "StreamReason",
    "StreamRefused",
    "StreamReset",
    "StreamTransport",
    "Streams",
    "streams_of",
]
