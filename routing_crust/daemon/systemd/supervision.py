"""
What the daemon has of systemd: where its sockets are, and who wants to hear how it is.
"""

from __future__ import annotations

import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from random import SystemRandom
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ...config import Role, Settings
from ...crust.interfaces import ICrust
from ...crust.platform import SystemPlatform
from ...crust.service import CrustService
from ...endpoints import Endpoint, PathKind
from ...errors import ConfigurationError
from ...identity import Identity
from ...names import Name
from ...routing.events import LinkChanged, LinkGained, LinkLost, StateChanged, observe_all
from ...routing.private.membership import Membership
from ...routing.service import RoutingService
from ...routing.state import State
from .notify import (
    READY,
    RELOADING,
    STOPPING,
    WATCHDOG,
    Notifier,
    moment_line,
    notifier_of,
    status_line,
    watchdog_of,
)
from .sockets import make_ours, take_sockets

STATUS_DELAY_SECONDS: Final = 1.0
"""Between two reports of the state: a flood of links is one line, not thousands."""


@dataclass(frozen=True, slots=True)
class Systemd:
    """
    What the environment of a service says. Nothing of it is there where systemd did not start the process.

    @ivar watchdog: within how many seconds systemd restarts a daemon that it hears nothing from.
    @ivar sockets: those that listen already, each with where.
    """

    notifier: Notifier | None = None
    watchdog: float | None = None
    sockets: Mapping[Endpoint, socket.socket] = field(default_factory=dict)

    log = Logger()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], process: int) -> Systemd:
        """
        Take what was handed to a process, by the environment that it was started with.

        @raise ConfigurationError: a socket that was handed over is of no use.
        """
        sockets = take_sockets(environment, process)
        return cls(notifier_of(environment), watchdog_of(environment, process), sockets)

    def settings_of(self, settings: Settings) -> Settings:
        """
        The settings, with the sockets that are given in place of C{listen}.

        @raise ConfigurationError: the node is a client, which listens nowhere.
        """
        if not self.sockets:
            return settings
        if settings.role is Role.CLIENT:
            raise ConfigurationError(
                "role", "a client listens nowhere, and systemd gives it sockets: stop the socket unit"
            )
        return replace(settings, listen=tuple(self.sockets))

    def crust_of(
        self, settings: Settings, identity: Identity, membership: Membership | None, reactor: Any
    ) -> ICrust | None:
        """What makes links with the given sockets; C{None}, which is the default, if there are none."""
        if not self.sockets:
            return None
        problem = make_ours(self.sockets)
        if problem:
            self.log.warn("{problem}", problem=problem)
        secret = b"" if membership is None else membership.beacon_secret
        platform = SystemPlatform(reactor, beacon_secret=secret, given=self.sockets)
        return CrustService(settings, identity, platform, SystemRandom())

    def supervise(self, service: RoutingService) -> Supervision | None:
        """Begin to tell systemd of a service that listens; C{None} if nobody wants to hear of it."""
        return None if self.notifier is None else Supervision(service, self.notifier, self.watchdog)


class Supervision:
    """
    Made by the daemon when its node listens. It tells systemd so in the reactor's first turn, then each
    change of the state, and that the reactor turns, until L{stop}.
    """

    def __init__(self, service: RoutingService, notifier: Notifier, watchdog: float | None) -> None:
        """
        @param watchdog: within how many seconds systemd wants to hear from us; C{None} if it does not.
        """
        self._service = service
        self._notifier = notifier
        self._clock: IReactorTime = service.clock
        self._said = ""
        self._ending = False
        self._soon: IDelayedCall | None = self._clock.callLater(0, self._ready)
        self._watchdog = LoopingCall(notifier.tell, WATCHDOG)
        self._watchdog.clock = self._clock
        self._watchdog_seconds = watchdog
        self._links: dict[Name, PathKind] = {}
        self._stop_observing = observe_all(
            service,
            {
                StateChanged: self._changed,
                LinkGained: self._gained,
                LinkChanged: self._replaced,
                LinkLost: self._lost,
            },
        )

    def reloading(self) -> None:
        """The daemon begins to read its settings again."""
        if not self._ending:
            self._notifier.tell(RELOADING, moment_line())

    def reloaded(self) -> None:
        """The daemon has read its settings, or has found that they are of no use."""
        # a daemon that has said that it stops is not ready again
        if not self._ending:
            self._notifier.tell(READY)

    def stopping(self) -> None:
        """The daemon begins to stop. The watchdog goes on, since a stop waits for peers."""
        self._ending = True
        self._notifier.tell(STOPPING, status_line("stopping"))
        self._end_status()

    def stop(self) -> None:
        """The daemon has stopped. Idempotent."""
        self._ending = True
        self._end_status()
        if self._watchdog.running:
            self._watchdog.stop()

    def _ready(self) -> None:
        self._soon = None
        if self._watchdog_seconds is not None:
            # half the time, as sd_watchdog_enabled(3) advises
            self._watchdog.start(self._watchdog_seconds / 2)
        self._said = status_text(self._service, self._links.values())
        self._notifier.tell(READY, status_line(self._said))

    def _gained(self, event: LinkGained) -> None:
        self._links[event.link.name] = event.link.path_kind
        self._changed(event)

    def _replaced(self, event: LinkChanged) -> None:
        self._links[event.new.name] = event.new.path_kind
        self._changed(event)

    def _lost(self, event: LinkLost) -> None:
        self._links.pop(event.link.name, None)
        self._changed(event)

    def _changed(self, _: object) -> None:
        if self._soon is None:
            self._soon = self._clock.callLater(STATUS_DELAY_SECONDS, self._tell)

    def _tell(self) -> None:
        self._soon = None
        text = status_text(self._service, self._links.values())
        if text != self._said:
            self._said = text
            self._notifier.tell(status_line(text))

    def _end_status(self) -> None:
        self._stop_observing()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None


def status_text(service: RoutingService, links: Collection[PathKind]) -> str:
    """How a node is, in a few words."""
    if service.settings.role is Role.FIRST and service.state is State.DISCONNECTED:
        return "waiting for the first peer"
    relayed = sum(each is PathKind.TUNNEL for each in links)
    count = f"{len(links)} link{'' if len(links) == 1 else 's'}"
    if relayed:
        count += f", {relayed} of them relayed"
    return f"{service.state.value}, {count}"
