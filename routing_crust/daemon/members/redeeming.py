"""
Redeems an invitation from a process that runs nothing else: it runs the reactor for that, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...config import DEFAULT_PORT, Role, Settings
from ...crust.platform import SystemPlatform
from ...crust.service import CrustService
from ...endpoints import Endpoint
from ...errors import CannotListen
from ...hosts.contacts import AnyContact
from ...hosts.interfaces import Place
from ...hosts.proxies import Proxy
from ...identity import Identity
from ...names import Name
from ...routing.inviting.redeemer import Redeemer
from ...timing.steadyclock import steady
from ...trust.redeeming import Redemption, Welcome
from ...trust.short_invitation import AnyInvitation, ShortInvitation

_Redeemed: TypeAlias = tuple[Welcome, AnyContact | None]


def redeem(
    invitation: AnyInvitation, identity: Identity, nickname: str, listen: Sequence[Place], proxy: Proxy
) -> _Redeemed:
    """
    Redeem an invitation. It takes the process's reactor, so it can be called once.

    @param listen: where to listen meanwhile; empty is the usual port.
    @param proxy: what to dial through.
    @return: the welcome, and where a member was dialled for it, if one was.
    @raise JoinFailed: nobody has let us in; the text says who was tried, and what to do.
    @raise KeyboardInterrupt: the process was interrupted.
    """
    from twisted.internet import reactor

    outcome: list[Any] = []

    def begin() -> None:
        settings = partial(Settings, proxy=proxy, lan_discovery=False, port_mapping=False)
        attempt = partial(_attempt, reactor, invitation, identity, nickname)
        done = Deferred.fromCoroutine(_redeem(attempt, settings, listen))
        done.addBoth(outcome.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome:
        # a signal has stopped the reactor
        raise KeyboardInterrupt
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    result: _Redeemed = outcome[0]
    return result


async def _redeem(
    attempt: Callable[[Settings], Deferred[_Redeemed]],
    settings: Callable[..., Settings],
    listen: Sequence[Place],
) -> _Redeemed:
    places = tuple(listen) or (Endpoint("0.0.0.0", DEFAULT_PORT), Endpoint("::", DEFAULT_PORT))
    try:
        return await attempt(settings(listen=places))
    except CannotListen:
        # another node has the port: then nobody dials us, and we may still dial
        return await attempt(settings(role=Role.CLIENT, listen=()))


def _attempt(
    reactor: Any, invitation: AnyInvitation, identity: Identity, nickname: str, settings: Settings
) -> Deferred[_Redeemed]:
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
