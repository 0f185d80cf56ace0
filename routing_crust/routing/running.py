"""
A node for as long as a block of code runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..config import Settings
from ..identity import Identity
from .service import RoutingService


@asynccontextmanager
async def node(
    settings: Settings | None = None,
    *,
    identity: Identity | None = None,
    reactor: Any = None,
    **given: object,
) -> AsyncIterator[RoutingService]:
    """
    Run a node: C{async with node(network="lab", contacts=["NAME@192.0.2.1:5483"]) as service}. It has started
    when the block begins, and has stopped when it is left. C{service.when_connected()} waits for the network.

    @param settings: the settings; C{None} makes them of C{given}.
    @param identity: C{None} makes a new one, which is lost with the block.
    @param reactor: C{None} is the global reactor.
    @param given: as for L{Settings.from_text<routing_crust.config.Settings.from_text>}.
    @raise ConfigurationError: a setting cannot be used.
    @raise CannotListen: a port is taken or may not be used.
    @raise TypeError: there are both C{settings} and C{given}.
    """
    if settings is not None and given:
        raise TypeError(f"give settings, or {', '.join(given)}, not both")
    service = RoutingService(settings or Settings.from_text(**given), reactor=reactor, identity=identity)
    # before the try: what did not start has nothing to stop
    service.startService()
    try:
        yield service
    finally:
        await service.stopService()
