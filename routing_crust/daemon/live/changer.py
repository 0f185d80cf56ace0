"""
Changes the settings of a daemon that runs, one change after another: each is made whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...config import Settings
from ...errors import RoutingCrustError, ServiceStopped
from ...routing.service import RoutingService
from ..forward.changing import ProgramChanges
from ..logs import LogStyle
from .differences import ChangeOutcome, describe, in_force, key_of
from .source import Configuration, SettingsSource

_LISTS: Final = ("expose", "allow_peer", "forward", "contacts")


class LiveSettings:
    """
    Made by the daemon with each start, discarded after L{stop}.

    @ivar source: where the settings are from.
    @ivar configuration: what is in force.
    @ivar reloading: called when a reload begins.
    @ivar reloaded: called when one is over, with or without success.
    @ivar added: what was added while the daemon runs and is not in the file, by setting.
    """

    log = Logger()

    def __init__(
        self,
        source: SettingsSource,
        configuration: Configuration,
        routing: RoutingService,
        programs: ProgramChanges,
        restyle: Callable[[LogStyle], object],
    ) -> None:
        """
        @param restyle: has the log written in another style.
        """
        self.source = source
        self.configuration = configuration
        self.reloading: Callable[[], object] = lambda: None
        self.reloaded: Callable[[], object] = lambda: None
        self.added: dict[str, tuple[object, ...]] = dict.fromkeys(_LISTS, ())
        self._routing = routing
        self._programs = programs
        self._restyle = restyle
        self._lock = DeferredLock()
        self._waiting: list[Deferred[ChangeOutcome]] = []
        self._stopped = False

    @property
    def settings(self) -> Settings:
        """The settings of the node that are in force."""
        return self._routing.settings

    def stop(self) -> None:
        """Change nothing more."""
        self._stopped = True

    def reload(self) -> Deferred[ChangeOutcome]:
        """
        Read the file again and apply what it says. Requests that come before that has begun are one.

        @return: fires with the outcome. Fails with a L{RoutingCrustError}, when nothing has changed.
        """
        asked: Deferred[ChangeOutcome] = Deferred()
        self._waiting.append(asked)
        if len(self._waiting) == 1:
            self._lock.run(lambda: Deferred.fromCoroutine(self._reload_now()))
        return asked

    def reload_logged(self) -> None:
        """Reload for somebody who reads the log only."""

        def done(outcome: ChangeOutcome) -> None:
            for line in outcome.changed:
                self.log.info("reloaded: {line}", line=line, event="reloaded")
            for line in outcome.restart:
                self.log.warn("{line}: this needs a restart", line=line, event="reloaded")
            if not (outcome.changed or outcome.restart):
                self.log.info("reloaded: nothing has changed", event="reloaded")

        def failed(failure: Failure) -> None:
            failure.trap(RoutingCrustError)
            self.log.error(
                "not reloaded, and nothing has changed: {problem}",
                problem=failure.value,
                event="not reloaded",
            )

        self.reload().addCallbacks(done, failed)

    def change(self, make: Callable[[Settings], Settings]) -> Deferred[ChangeOutcome]:
        """
        Change settings that are in force.

        @param make: makes the new settings of those in force, when it is this change's turn. It may raise a
            L{RoutingCrustError}.
        @return: as that of L{reload}.
        """

        async def changed() -> ChangeOutcome:
            before = self.settings
            lists = {name: getattr(before, name) for name in _LISTS}
            outcome = await self._apply(replace(self.configuration, settings=make(before)))
            for name, old in lists.items():
                new = getattr(self.settings, name)
                self.added[name] = tuple(each for each in new if each not in old or each in self.added[name])
            return outcome

        return self._lock.run(lambda: Deferred.fromCoroutine(changed()))

    def saved(self, setting: str) -> None:
        """What was added to a setting is in the file now."""
        self.added[setting] = ()
        if setting == "expose":
            self.added["allow_peer"] = ()
        if self.source.path is None:
            self.source = replace(self.source, path=self.source.file)

    async def _reload_now(self) -> None:
        # those that ask from here on may have seen a later file
        waiting, self._waiting = self._waiting, []
        self.reloading()
        try:
            outcome: ChangeOutcome | Failure = await self._apply(self._read())
        except Exception:  # those who wait hear of a bug as well
            outcome = Failure()
        finally:
            self.reloaded()
        for each in waiting:
            each.callback(outcome)

    def _read(self) -> Configuration:
        wanted = self.source.read()
        path = self.source.file
        if path is not None and self.source.path is None:
            # one that has come since the start: from now on it has to be there
            self.source = replace(self.source, path=path)
        settings = wanted.settings
        if "state_dir" not in (*self.source.given, *wanted.given):
            # its default follows from the network, which needs a restart
            settings = replace(settings, state_dir=self.settings.state_dir)
        return replace(wanted, settings=_with(settings, self.added))

    async def _apply(self, wanted: Configuration) -> ChangeOutcome:
        if self._stopped:
            raise ServiceStopped("the daemon is stopping")
        running = self.configuration
        old = replace(self.settings)
        settings, later = in_force(old, wanted.settings)
        prepared = await self._programs.prepare(settings)
        if self._stopped:
            self._programs.discard(prepared)
            raise ServiceStopped("the daemon is stopping")
        # from here on nothing fails and nothing waits, so that nobody sees half of it
        self._routing.change_settings(settings)
        ended = self._programs.commit(prepared)
        if wanted.log_style != running.log_style:
            self._restyle(wanted.log_style)
        # the page stays where it is; a later reload compares with that
        self.configuration = replace(
            wanted, settings=self.settings, status_page=running.status_page, local_proxy=running.local_proxy
        )
        changed = [
            line
            for each in fields(Settings)
            if getattr(old, each.name) != getattr(settings, each.name)
            for line in describe(each.name, getattr(old, each.name), getattr(settings, each.name))
        ]
        for name, before, after in (
            ("log_level", running.log_style.level, wanted.log_style.level),
            ("log_format", running.log_style.format, wanted.log_style.format),
            ("drain", running.drain, wanted.drain),
        ):
            if before != after:
                changed.extend(describe(name, before, after))
        restart = [
            line
            for name in later
            for line in describe(name, getattr(old, name), getattr(wanted.settings, name))
        ]
        for name, before, after in (
            ("status_page", running.status_page, wanted.status_page),
            ("local_proxy", running.local_proxy, wanted.local_proxy),
        ):
            if before != after:
                restart.extend(describe(name, before or "none", after or "none"))
        touched = {line.partition(":")[0] for line in (*changed, *restart)}
        stayed = tuple(
            dict.fromkeys(each for each in (*self.source.given, *wanted.given) if each not in touched)
        )
        return ChangeOutcome(tuple(changed), stayed, tuple(restart), ended)


def _with(settings: Settings, added: Mapping[str, tuple[object, ...]]) -> Settings:
    """The settings of the file with what was added besides; where both say something, the file counts."""
    joined: dict[str, Any] = {}
    for name, more in added.items():
        given = getattr(settings, name)
        keys = {key_of(each) for each in given}
        joined[name] = (*given, *(each for each in more if key_of(each) not in keys))
    exposed = {each.protocol for each in joined["expose"]}
    given_to = [each for each in joined["allow_peer"] if each.protocol in exposed]
    joined["allow_peer"] = tuple(given_to)
    return replace(settings, **joined)
