"""
routing-crust lets programs find each other, connect directly and securely, and talk by name.

Make L{Settings}, give them to a L{RoutingService}, start it, and send. What most programs need is here:

  - the node: L{RoutingService}, L{Settings}, L{Role}, L{TwoWay}, L{State};
  - its key and name: L{Identity}, L{Name}, L{create_identity}, L{load_identity}, L{load_or_create_identity};
  - where a node is: L{Endpoint}, L{Contact};
  - what arrives: L{Message}, L{Request}, and frames on an L{ApplicationLink};
  - events, for L{RoutingService.observe}: L{StateChanged}, L{GroupConnectedChanged}, L{PeerJoined},
    L{PeerLeft}, L{LinkGained}, L{LinkChanged}, L{LinkLost}, L{EndpointsChanged}, L{ReachabilityChanged};
  - what events and properties are made of: L{LinkFacts}, L{LinkUse}, L{Reachability}, L{NatKind};
  - the root of all errors: L{RoutingCrustError}.

Public as well: L{routing_crust.streams} (byte streams by name), L{routing_crust.aio} (for asyncio),
L{routing_crust.testing} (a simulated network), L{routing_crust.errors} and L{routing_crust.endpoints}.
Every other module may change without notice.
"""

from ._version import __version__
from .config import Role, Settings, TwoWay
from .crust.reachability import Reachability
from .endpoints import Contact, Endpoint
from .errors import RoutingCrustError
from .identity import Identity, create_identity, load_identity, load_or_create_identity
from .names import Name
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
from .routing.service import RoutingService
from .routing.state import State
from .wire.messages import LinkUse, NatKind

__all__ = [
    "ApplicationLink",
    "Contact",
    "Endpoint",
    "EndpointsChanged",
    "GroupConnectedChanged",
    "Identity",
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
    "RoutingCrustError",
    "RoutingService",
    "Settings",
    "State",
    "StateChanged",
    "TwoWay",
    "__version__",
    "create_identity",
    "load_identity",
    "load_or_create_identity",
]
