"""
Changes what the settings expose and forward, while connections are open.

First everything is made that can fail: endpoints are read and ports are opened. Only then, in one turn,
anything that exists is changed. So a change that cannot be made whole changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from ...config import Settings
from ...errors import CannotListen
from ...forwarding_rules import Exposure, Forward
from .datagrams.sockets import UdpTarget
from .exposer import Exposer
from .local_endpoints import on_loopback
from .local_port import LocalPort
from .registry import ForwardRegistry


@dataclass(frozen=True, slots=True)
class PreparedChange:
    """
    What is ready to be changed.

    @ivar targets: where each program is that is exposed then.
    @ivar opened: the forwarders whose ports are open already, by endpoint.
    @ivar changed: the forwarders that lead elsewhere then.
    """

    settings: Settings
    targets: tuple[tuple[Exposure, IStreamClientEndpoint | UdpTarget], ...]
    opened: dict[str, LocalPort]
    changed: tuple[tuple[LocalPort, Forward], ...]


class ProgramChanges:
    """Made by the daemon for one L{ForwardRegistry}."""

    log = Logger()

    def __init__(self, registry: ForwardRegistry) -> None:
        self._registry = registry

    async def prepare(self, settings: Settings) -> PreparedChange:
        """
        Make what the settings need besides what there is.

        @raise ConfigurationError: an endpoint cannot be used; nothing has changed.
        @raise CannotListen: a port is taken, or a protocol is offered by a program; likewise.
        """
        registry = self._registry
        targets = tuple((each, registry.target(each)) for each in settings.expose)
        wanted = {on_loopback(each.listen): each for each in settings.forward}
        there = registry.configured_forwarders
        new = {key: registry.forwarder("forward", each) for key, each in wanted.items() if key not in there}
        changed = tuple(
            (there[key], each) for key, each in wanted.items() if key in there and there[key].forward != each
        )
        await self._open(list(new.values()), [each for key, each in there.items() if key not in wanted])
        prepared = PreparedChange(settings, targets, new, changed)
        # last, since a program may have come meanwhile
        for exposure in settings.expose:
            protocol = exposure.protocol
            ours = registry.configured_exposers.get(protocol)
            mine = ours is not None and ours.exposure.offered == exposure.offered
            if not mine and registry.is_offered(exposure.offered):
                self.discard(prepared)
                raise CannotListen(
                    f"expose: {protocol} is exposed already, by a program on this machine: end that first, "
                    "or choose another name"
                )
        return prepared

    def discard(self, prepared: PreparedChange) -> None:
        """Close what was opened."""
        for each in prepared.opened.values():
            self._registry.end(each)

    def commit(self, prepared: PreparedChange) -> int:
        """
        Change what there is. Connections that are allowed still stay.

        @return: how many connections were ended.
        """
        registry, settings = self._registry, prepared.settings
        ended = 0
        kinds = {each.protocol: each.is_udp for each in settings.expose}
        there = registry.configured_exposers
        # one that turns from TCP to UDP is another offer, by another exposer
        for protocol in [each for each in there if kinds.get(each) is not there[each].exposure.is_udp]:
            ended += registry.removed(registry.configured_exposers.pop(protocol))
        for exposure, endpoint in prepared.targets:
            allowed = registry.allowed(settings, exposure)
            exposer = registry.configured_exposers.get(exposure.protocol)
            if exposer is None:
                self._expose(registry.exposer("expose", exposure, allowed))
            else:
                ended += exposer.change(exposure, allowed, endpoint)
        listening = {on_loopback(each.listen) for each in settings.forward}
        for key in [each for each in registry.configured_forwarders if each not in listening]:
            ended += registry.removed(registry.configured_forwarders.pop(key))
        registry.configured_forwarders.update(prepared.opened)
        for forwarder, forward in prepared.changed:
            forwarder.change(forward)
        return ended

    def _expose(self, exposer: Exposer) -> None:
        self._registry.expose(exposer)
        self._registry.configured_exposers[exposer.exposure.protocol] = exposer

    async def _open(self, new: list[LocalPort], going: list[LocalPort]) -> None:
        opened: list[LocalPort] = []
        paused: list[LocalPort] = []
        try:
            for each in new:
                try:
                    await self._registry.forward(each)
                except CannotListen:
                    # one that is to go may have the port
                    if paused or not going:
                        raise
                    paused = going
                    for other in paused:
                        await other.pause()
                    await self._registry.forward(each)
                opened.append(each)
        except CannotListen:
            for each in opened:
                await self._registry.end(each)
            for each in paused:
                await self._resume(each)
            raise

    async def _resume(self, forwarder: LocalPort) -> None:
        try:
            await forwarder.start()
        except CannotListen as error:
            self.log.error("a port that was closed for a moment is lost: {problem}", problem=error)
