"""
The services that run in this process, so that what is given only as text, such as the string of an endpoint,
finds them. Services keep it themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .service import RoutingService

_running: list[RoutingService] = []


def running_services() -> tuple[RoutingService, ...]:
    """Those that are started and not stopped, in the order of their starts."""
    return tuple(_running)


def started(service: RoutingService) -> None:
    """A service is running."""
    if service not in _running:
        _running.append(service)


def stopped(service: RoutingService) -> None:
    """A service is not running any more; one that is not known is no error."""
    if service in _running:
        _running.remove(service)
