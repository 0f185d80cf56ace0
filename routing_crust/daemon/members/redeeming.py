"""
Redeems an invitation from a process that runs nothing else: it runs the reactor for that, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...config import DEFAULT_PORT, Role, Settings
from ...crust.platform import SystemPlatform
from ...crust.service import CrustService
from ...endpoints import Endpoint
from ...errors import CannotListen
from ...hosts.contacts import AnyContact
from ...hosts.interfaces import Place
from ...identity import Identity
from ...routing.inviting.redeemer import Redeemer
from ...timing.steadyclock import steady
from ...trust.invitation import Invitation
from ...trust.redeeming import Redemption, Welcome


def redeem(
    invitation: Invitation, identity: Identity, nickname: str, listen: Sequence[Place]
) -> tuple[Welcome, AnyContact | None]:
    """
    Redeem an invitation. It takes the process's reactor, so it can be called once.

    @param listen: where to listen meanwhile; empty is the usual port.
    @return: the welcome, and where a member was dialled for it, if one was.
    @raise JoinFailed: nobody has let us in; the text says who was tried, and what to do.
    @raise KeyboardInterrupt: the process was interrupted.
    """
    from twisted.internet import reactor

    outcome: list[Any] = []

    def begin() -> None:
        done = redeem_with(reactor, invitation, identity, nickname, listen)
        done.addBoth(outcome.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome:
        # a signal has stopped the reactor
        raise KeyboardInterrupt
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    result: tuple[Welcome, AnyContact | None] = outcome[0]
    return result


def redeem_with(
    reactor: Any, invitation: Invitation, identity: Identity, nickname: str, listen: Sequence[Place]
) -> Deferred[tuple[Welcome, AnyContact | None]]:
    """As L{redeem}, on a reactor that runs."""
    return Deferred.fromCoroutine(_redeem(reactor, invitation, identity, nickname, listen))


async def _redeem(
    reactor: Any, invitation: Invitation, identity: Identity, nickname: str, listen: Sequence[Place]
) -> tuple[Welcome, AnyContact | None]:
    places = tuple(listen) or (Endpoint("0.0.0.0", DEFAULT_PORT), Endpoint("::", DEFAULT_PORT))
    network = invitation.network
    try:
        settings = Settings(network=network, listen=places, lan_discovery=False, port_mapping=False)
        return await _attempt(reactor, settings, invitation, identity, nickname)
    except CannotListen:
        # another node has the port: then nobody dials us, and we may still dial
        settings = Settings(
            network=network, role=Role.CLIENT, listen=(), lan_discovery=False, port_mapping=False
        )
        return await _attempt(reactor, settings, invitation, identity, nickname)


def _attempt(
    reactor: Any, settings: Settings, invitation: Invitation, identity: Identity, nickname: str
) -> Deferred[tuple[Welcome, AnyContact | None]]:
    clock = steady(reactor)
    crust = CrustService(settings, identity, SystemPlatform(reactor))
    attempt = partial(Redemption, invitation.network, invitation.inviter, invitation.secret, identity.name)
    return Redeemer(crust, clock, attempt, invitation.endpoints, nickname, invitation.hosts).redeem()
