# What type checkers read in place of __init__.py, in which nothing is imported before it is asked for.

from .config import KeyExchange, Role, Settings, TwoWay
from .crust.reachability import Reachability
from .endpoints import Contact, Endpoint
from .identity import Identity, create_identity, load_identity, load_or_create_identity
from .names import Name
from .plain_errors import RoutingCrustError
from .routing.application_link import ApplicationLink
from .routing.events import (
    EndpointsChanged,
    GroupConnectedChanged,
    LinkChanged,
    LinkFacts,
    LinkGained,
    LinkLost,
    Message,
    PeerJoined,
    PeerLeft,
    ReachabilityChanged,
    Request,
    StateChanged,
)
from .routing.running import node
from .routing.service import RoutingService
from .routing.state import State
from .streams.endpoints import RoutingClientEndpoint, RoutingServerEndpoint
from .wire.messages import LinkUse, NatKind

__version__: str

__all__ = [
    "ApplicationLink",
    "Contact",
    "Endpoint",
    "EndpointsChanged",
    "GroupConnectedChanged",
    "Identity",
    "KeyExchange",
    "LinkChanged",
    "LinkFacts",
    "LinkGained",
    "LinkLost",
    "LinkUse",
    "Message",
    "Name",
    "NatKind",
    "PeerJoined",
    "PeerLeft",
    "Reachability",
    "ReachabilityChanged",
    "Request",
    "Role",
    "RoutingClientEndpoint",
    "RoutingCrustError",
    "RoutingServerEndpoint",
    "RoutingService",
    "Settings",
    "State",
    "StateChanged",
    "TwoWay",
    "__version__",
    "create_identity",
    "load_identity",
    "load_or_create_identity",
    "node",
]
