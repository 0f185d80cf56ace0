"""
Answers the commands that change the daemon while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from ...config import Settings
from ...errors import ConfigurationError
from ..control.live_messages import (
    AddCommand,
    ChangedReply,
    ListCommand,
    ListedReply,
    ReloadCommand,
    RemoveCommand,
)
from ..control.messages import Reply
from ..control.server import ControlServer
from ..forward.registry import ForwardRegistry
from ..forward.whom import allow_notes
from .changer import LiveSettings
from .differences import ChangeOutcome
from .entries import adding, removing
from .saving import can_save, save


class LiveAnswers:
    """Made by the daemon with each start."""

    def __init__(self, live: LiveSettings, registry: ForwardRegistry) -> None:
        self._live = live
        self._registry = registry

    def register(self, control: ControlServer) -> None:
        """Have the commands answered."""
        control.handle(ReloadCommand, self.reload)
        control.handle(AddCommand, self.add)
        control.handle(RemoveCommand, self.remove)
        control.handle(ListCommand, self.entries)

    def reload(self, command: ReloadCommand) -> Deferred[Reply]:
        """Read the settings file again."""
        return self._live.reload().addCallback(_reply)

    def add(self, command: AddCommand) -> Deferred[Reply]:
        """Add an entry, and save it if that is wanted."""
        make = partial(adding, setting=command.setting, text=command.entry, allow=command.allow)
        return Deferred.fromCoroutine(self._change(command, make))

    def remove(self, command: RemoveCommand) -> Deferred[Reply]:
        """Remove an entry, and save that if it is wanted."""
        make = partial(removing, setting=command.setting, text=command.entry)
        return Deferred.fromCoroutine(self._change(command, make))

    def entries(self, command: ListCommand) -> ListedReply:
        """List what is in force."""
        return ListedReply(entries=tuple(self._entries(command.setting)))

    async def _change(
        self, command: AddCommand | RemoveCommand, make: Callable[[Settings], Settings]
    ) -> Reply:
        if command.save:
            # before anything is changed: what cannot be saved was not meant so
            can_save(self._live.source, command.setting)
        before = frozenset(self._live.added[command.setting])
        outcome = await self._live.change(make)
        reply = _reply(outcome)
        notes = self._notes_on(command)
        if not command.save:
            return _with_notes(reply, *notes, self._until(command, before))
        try:
            path = save(self._live.source, self._live.settings, command.setting)
        except ConfigurationError as error:
            raise ConfigurationError(
                command.setting, f"it is in force, but could not be saved: {error}"
            ) from None
        self._live.saved(command.setting)
        return _with_notes(reply, *notes, f"saved in {path}")

    def _notes_on(self, command: AddCommand | RemoveCommand) -> tuple[str, ...]:
        if command.setting != "expose" or not isinstance(command, AddCommand):
            return ()
        return allow_notes(self._registry.allowed(self._live.settings, self._live.settings.expose[-1]))

    def _until(self, command: AddCommand | RemoveCommand, added: frozenset[object]) -> str:
        """
        @param added: what was there before and is not in the file.
        """
        if isinstance(command, AddCommand):
            return "this lasts until the daemon ends; --save writes it into the settings file"
        if frozenset(self._live.added[command.setting]) != added:
            return "it was not saved, so it is not in the settings file either"
        if self._live.source.file is None:
            return "this lasts until the daemon ends"
        return "what the settings file has is back with the next start or reload; --save removes it there"

    def _entries(self, setting: str) -> list[dict[str, Any]]:
        settings, added = self._live.settings, self._live.added
        entries: list[dict[str, Any]] = []
        for each in getattr(settings, setting):
            entry: dict[str, Any] = {
                "entry": str(each),
                "origin": "added" if each in added[setting] else "settings",
            }
            if setting == "expose":
                entry["allow"] = list(self._registry.allowed(settings, each).texts)
            entries.append(entry)
        if setting != "contacts":
            entries.extend(self._registry.of_programs(setting))
        return entries


def _reply(outcome: ChangeOutcome) -> ChangedReply:
    return ChangedReply(
        changed=outcome.changed, stayed=outcome.stayed, restart=outcome.restart, ended=outcome.ended
    )


def _with_notes(reply: ChangedReply, *notes: str) -> ChangedReply:
    return ChangedReply(
        changed=reply.changed,
        stayed=reply.stayed,
        restart=reply.restart,
        ended=reply.ended,
        notes=notes,
    )
