"""
Redeems an invitation from a process that runs nothing else: it runs the reactor for that, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from ...names import Name
from ...routing.inviting.redeemer import Redeemer
from ...timing.steadyclock import steady
from ...trust.redeeming import Redemption, Welcome
from ...trust.short_invitation import AnyInvitation, ShortInvitation


def redeem(
    invitation: AnyInvitation, identity: Identity, nickname: str, listen: Sequence[Place]
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
    reactor: Any, invitation: AnyInvitation, identity: Identity, nickname: str, listen: Sequence[Place]
) -> Deferred[tuple[Welcome, AnyContact | None]]:
    """As L{redeem}, on a reactor that runs."""
    return Deferred.fromCoroutine(_redeem(reactor, invitation, identity, nickname, listen))


async def _redeem(
    reactor: Any, invitation: AnyInvitation, identity: Identity, nickname: str, listen: Sequence[Place]
) -> tuple[Welcome, AnyContact | None]:
    places = tuple(listen) or (Endpoint("0.0.0.0", DEFAULT_PORT), Endpoint("::", DEFAULT_PORT))
    try:
        settings = Settings(listen=places, lan_discovery=False, port_mapping=False)
        return await _attempt(reactor, settings, invitation, identity, nickname)
    except CannotListen:
        # another node has the port: then nobody dials us, and we may still dial
        settings = Settings(role=Role.CLIENT, listen=(), lan_discovery=False, port_mapping=False)
        return await _attempt(reactor, settings, invitation, identity, nickname)


def _attempt(
    reactor: Any, settings: Settings, invitation: AnyInvitation, identity: Identity, nickname: str
) -> Deferred[tuple[Welcome, AnyContact | None]]:
    clock = steady(reactor)
    crust = CrustService(settings, identity, SystemPlatform(reactor))
    attempt = _attempts(invitation, identity.name)
    return Redeemer(crust, clock, attempt, invitation.endpoints, nickname, invitation.hosts).redeem()


def _attempts(invitation: AnyInvitation, own: Name) -> Callable[[Name, bytes], Redemption]:
    """How it is tried on a link, by the name at the other end and the exporter value."""
    if isinstance(invitation, ShortInvitation):
        secret = invitation.secret()
        return lambda peer, binding: Redemption("", peer, secret, own, binding)
    whole = partial(Redemption, invitation.network, invitation.inviter, invitation.secret, own)
    return lambda _, binding: whole(binding)
