"""
Adds entries to the settings that are in force, and removes them: values, and errors that say what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ...config import Settings
from ...errors import ConfigurationError, RoutingCrustError
from ...forwarding_rules import Exposure, Forward, Permission, is_nickname, known, unknown_nickname
from ...hosts.contacts import AnyContact, NamedContact, contact_from_text
from ...plain_errors import InvalidEndpoint, InvalidName, InvalidPairing
from ..forward.local_endpoints import on_loopback


class NotThere(RoutingCrustError):
    """There is nothing such to remove; the text says what there is."""


class ThereAlready(RoutingCrustError):
    """Something has the name, the port or the address already."""


def adding(settings: Settings, setting: str, text: str, allow: Sequence[str] = ()) -> Settings:
    """
    The settings with one more entry.

    @param text: the entry, as the settings file has it.
    @param allow: who may have it, if it is an exposed protocol.
    @raise ThereAlready: something has its place.
    @raise ConfigurationError: it cannot be used.
    """
    nicknames = known(settings.nicknames)
    try:
        if setting == "expose":
            exposure = Exposure.from_text(text)
            permissions = tuple(
                Permission.from_text(f"{exposure.protocol}={each}", nicknames) for each in allow
            )
            _check_free(
                (each for each in settings.expose if each.protocol == exposure.protocol),
                f"{exposure.protocol} is exposed already",
                f"'routing-crust expose remove {exposure.protocol}'",
            )
            return replace(
                settings,
                expose=(*settings.expose, exposure),
                allow_peer=(*settings.allow_peer, *permissions),
            )
        if setting == "forward":
            forward = Forward.from_text(text, nicknames)
            # 2222 and tcp:2222:interface=127.0.0.1 are the same port
            port = on_loopback(forward.listen)
            _check_free(
                (each for each in settings.forward if on_loopback(each.listen) == port),
                f"{forward.listen} is forwarded already",
                f"'routing-crust forward remove {forward.listen}'",
            )
            return replace(settings, forward=(*settings.forward, forward))
        contact = _contact(text, settings)
        if contact in settings.contacts:
            raise ThereAlready(f"{contact} is a contact already")
        return replace(settings, contacts=(*settings.contacts, contact))
    except (InvalidEndpoint, InvalidName, InvalidPairing) as error:
        raise ConfigurationError(setting, str(error)) from None
    except ConfigurationError as error:
        raise ConfigurationError(
            error.setting,
            str(error).removeprefix(f"{error.setting}: "),
        ) from None


def removing(settings: Settings, setting: str, text: str) -> Settings:
    """
    The settings without an entry, and without what belongs to it.

    @param text: what tells it from the others.
    @raise NotThere: there is none.
    """
    text = text.strip()
    if setting == "expose":
        gone: tuple[Any, ...] = tuple(each for each in settings.expose if text in (each.protocol, str(each)))
        _check_there(gone, f"nothing is exposed as {text}", [each.protocol for each in settings.expose])
        # permissions that stay would hold for what gets this name next
        protocol = gone[0].protocol
        return replace(
            settings,
            expose=tuple(each for each in settings.expose if each not in gone),
            allow_peer=tuple(each for each in settings.allow_peer if each.protocol != protocol),
        )
    if setting == "forward":
        port = on_loopback(text)
        gone = tuple(
            each for each in settings.forward if on_loopback(each.listen) == port or text == str(each)
        )
        _check_there(gone, f"{text} is not forwarded", [each.listen for each in settings.forward])
        return replace(settings, forward=tuple(each for each in settings.forward if each not in gone))
    name = known(settings.nicknames).get(text)
    gone = tuple(
        each
        for each in settings.contacts
        if text in (str(each), _where(each), str(each.name)) or (name is not None and name == each.name)
    )
    _check_there(gone, f"{text} is not a contact of the settings", [str(each) for each in settings.contacts])
    return replace(settings, contacts=tuple(each for each in settings.contacts if each not in gone))


def _contact(text: str, settings: Settings) -> AnyContact:
    who, at, where = text.strip().partition("@")
    nicknames = known(settings.nicknames)
    name = nicknames.get(who) if at else None
    if at and name is None and is_nickname(who):
        raise unknown_nickname(who, nicknames)
    return contact_from_text(text if name is None else f"{name}@{where}")


def _where(contact: AnyContact) -> str:
    return contact.where if isinstance(contact, NamedContact) else str(contact.endpoint)


def _check_free(there: Iterable[object], problem: str, remedy: str) -> None:
    for each in there:
        raise ThereAlready(f"{problem} ({each}): remove that first, with {remedy}")


def _check_there(gone: Sequence[object], problem: str, there: Sequence[str]) -> None:
    if not gone:
        raise NotThere(
            f"{problem}; there is {', '.join(there)}" if there else f"{problem}, nor is anything else"
        )
