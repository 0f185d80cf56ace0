"""
routing-crust lets programs find each other, connect directly and securely, and talk by name.

A node is a L{RoutingService} with L{Settings}; L{node} runs one. Two of them in one process::

    from twisted.internet.defer import Deferred
    from twisted.internet.task import react
    from routing_crust import node

    HERE = {"listen": ["127.0.0.1:0"], "lan_discovery": False}

    async def main(reactor):
        async with node(role="first", **HERE) as first:
            first.set_request_handler(lambda message: b"hello " + message.body)
            async with node(contacts=[str(first.contact)], **HERE) as second:
                print(await second.request(first.node_name, b"world"))

    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))

What most programs need is here:

  - the node: L{RoutingService}, or L{node} for as long as a block of code; L{Settings}, L{Role}, L{TwoWay},
    L{KeyExchange}, L{State};
  - byte streams between programs: L{RoutingServerEndpoint}, L{RoutingClientEndpoint};
  - its key and name: L{Identity}, L{Name}, L{create_identity}, L{load_identity}, L{load_or_create_identity};
  - where a node is: L{Endpoint}, L{Contact};
  - what arrives: L{Message}, L{Request}, and frames on an L{ApplicationLink};
  - events, for L{RoutingService.observe}: L{StateChanged}, L{GroupConnectedChanged}, L{PeerJoined},
    L{PeerLeft}, L{LinkGained}, L{LinkChanged}, L{LinkLost}, L{EndpointsChanged}, L{ReachabilityChanged};
  - what events and properties are made of: L{LinkFacts}, L{LinkUse}, L{Reachability}, L{NatKind};
  - the root of all errors: L{RoutingCrustError}.

Public as well: L{routing_crust.streams} (byte streams by name), L{routing_crust.aio} (for asyncio),
L{routing_crust.testing} (a simulated network), L{routing_crust.daemon.page.resource} (a status page),
L{routing_crust.daemon.endpoints.agent} (an HTTP client by name), L{routing_crust.errors} and
L{routing_crust.endpoints}.
Every other module may change without notice.
"""

from importlib import import_module

__version__ = "0.1.0"

_MODULES = {
    "ApplicationLink": "routing.application_link",
    "Contact": "endpoints",
    "Endpoint": "endpoints",
    "EndpointsChanged": "routing.events",
    "GroupConnectedChanged": "routing.events",
    "Identity": "identity",
    "KeyExchange": "config",
    "LinkChanged": "routing.events",
    "LinkFacts": "routing.events",
    "LinkGained": "routing.events",
    "LinkLost": "routing.events",
    "LinkUse": "wire.messages",
    "Message": "routing.events",
    "Name": "names",
    "NatKind": "wire.messages",
    "PeerJoined": "routing.events",
    "PeerLeft": "routing.events",
    "Reachability": "crust.reachability",
    "ReachabilityChanged": "routing.events",
    "Request": "routing.events",
    "Role": "config",
    "RoutingClientEndpoint": "streams.endpoints",
    "RoutingCrustError": "plain_errors",
    "RoutingServerEndpoint": "streams.endpoints",
    "RoutingService": "routing.service",
    "Settings": "config",
    "State": "routing.state",
    "StateChanged": "routing.events",
    "TwoWay": "config",
    "create_identity": "identity",
    "load_identity": "identity",
    "load_or_create_identity": "identity",
    "node": "routing.running",
}
"""The module of each name here, loaded when the name is asked for: a program waits only for what it uses."""

__all__ = ["__version__", *_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
