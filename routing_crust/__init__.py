"""
routing-crust lets programs find each other, connect directly and securely, and talk by name.

What most programs need is here: make L{Settings}, give them to a L{RoutingService}, start it, and send. The
events that a service can be asked for are in L{routing_crust.routing.events}.
"""

from ._version import __version__
from .config import Role, Settings, TwoWay
from .endpoints import Contact, Endpoint
from .errors import RoutingCrustError
from .identity import Identity, create_identity, load_identity, load_or_create_identity
from .names import Name
from .routing.events import Message
from .routing.service import RoutingService
from .routing.state import State

__all__ = [
    "Contact",
    "Endpoint",
    "Identity",
    "Message",
    "Name",
    "Role",
    "RoutingCrustError",
    "RoutingService",
    "Settings",
    "State",
    "TwoWay",
    "__version__",
    "create_identity",
    "load_identity",
    "load_or_create_identity",
]
