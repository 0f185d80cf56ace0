"""
Saved contacts: peers that have proven themselves, kept in a file for the next start.

The file is JSON, C{{"version": 1, "contacts": ["name@address:port", ...]}}, most recently proven first.
It is written a while after a change, so that many changes cost one write, and when crust stops. A damaged
file never keeps a node from starting: it is renamed, and the log says so.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ...endpoints import Contact
from ...errors import InvalidEndpoint
from ...files import write_atomically
from ...names import Name

MAX_SAVED_CONTACTS: Final = 1500
"""Contacts that are saved."""

WRITE_DELAY_SECONDS: Final = 1.0
"""Seconds from a change to its writing."""
FILE_NAME: Final = "contacts.json"
DAMAGED_SUFFIX: Final = ".damaged"

_VERSION: Final = 1
_MAX_BYTES_PER_CONTACT: Final = 256


class ContactBook:
    """
    The contacts, one for each name and one for each endpoint. Without a folder they live in memory only.
    """

    log = Logger()

    def __init__(self, folder: Path | None, most: int, own: Name, clock: IReactorTime) -> None:
        """
        @param folder: where the file is; C{None} keeps nothing.
        @param most: how many are kept.
        @param own: our own name, never a contact.
        @param clock: where the delayed write is scheduled.
        """
        self._path = None if folder is None else folder / FILE_NAME
        self._most = most
        self._own = own
        self._clock = clock
        self._contacts: list[Contact] = []
        self._write_call: IDelayedCall | None = None
        self._failing = False

    def load(self) -> None:
        """
        Read the file, if there is one. Unusable entries are logged; nothing is raised. Contacts in memory are
        newer than the file and stay.
        """
        if self._path is None or self._contacts:
            return
        try:
            # a bounded read: a file that has grown huge must not fill the memory
            with self._path.open("rb") as file:
                data = file.read(_MAX_BYTES_PER_CONTACT * (self._most + 16) + 1)
        except FileNotFoundError:
            return
        except OSError as error:
            self.log.warn(
                "the saved contacts in {path} cannot be read ({problem}); starting without them",
                path=str(self._path),
                problem=error.strerror,
            )
            return
        try:
            self._contacts = self._parse(data)[: self._most]
        except (ValueError, RecursionError) as error:
            self._put_aside(str(error))

    def contacts(self) -> tuple[Contact, ...]:
        """All of them, most recently proven first."""
        return tuple(self._contacts)

    def remember(self, contact: Contact, proven: bool = True) -> None:
        """
        Keep a contact. It replaces an older one of the same name or at the same endpoint; when there are too
        many, the one that was proven longest ago is dropped.

        @param proven: an unproven contact comes last, and replaces nothing.
        """
        if contact.name == self._own or not self._most or self._contacts[:1] == [contact]:
            return
        others = self._without(contact)
        if proven:
            self._contacts = [contact, *others][: self._most]
        elif len(others) < len(self._contacts) or len(others) == self._most:
            return
        else:
            self._contacts.append(contact)
        if self._path is not None and self._write_call is None:
            self._write_call = self._clock.callLater(WRITE_DELAY_SECONDS, self._write)

    def flush(self) -> None:
        """Write what has not been written yet, now."""
        if self._write_call is not None:
            self._write_call.cancel()
            self._write()

    def _without(self, contact: Contact) -> list[Contact]:
        return [
            each
            for each in self._contacts
            if each.endpoint != contact.endpoint and not _same_name(each, contact)
        ]

    def _parse(self, data: bytes) -> list[Contact]:
        """
        @raise ValueError: it is no list of contacts. A single bad entry is left out instead.
        """
        if len(data) > _MAX_BYTES_PER_CONTACT * (self._most + 16):
            raise ValueError("it is too long")
        content = json.loads(data)
        texts = content.get("contacts") if isinstance(content, dict) else None
        if not isinstance(texts, list) or content.get("version") != _VERSION:
            raise ValueError("it is not a list of contacts")
        found: list[Contact] = []
        for contact in filter(None, map(self._parse_one, texts)):
            # the list is most recent first, so an earlier entry goes before a later one
            if all(each.endpoint != contact.endpoint and not _same_name(each, contact) for each in found):
                found.append(contact)
        return found

    def _parse_one(self, text: object) -> Contact | None:
        try:
            contact = Contact.from_text(text if isinstance(text, str) else repr(text))
        except InvalidEndpoint as error:
            self.log.warn("a saved contact is left out: {problem}", problem=str(error))
            return None
        return None if contact.name == self._own else contact

    def _put_aside(self, problem: str) -> None:
        assert self._path is not None
        aside = self._path.with_name(self._path.name + DAMAGED_SUFFIX)
        try:
            os.replace(self._path, aside)
        except OSError as error:
            self.log.warn(
                "the saved contacts in {path} are damaged ({problem}) and cannot be put aside ({error}); "
                "starting without them",
                path=str(self._path),
                problem=problem,
                error=error.strerror,
            )
            return
        self.log.warn(
            "the saved contacts in {path} are damaged ({problem}); the file is now {aside}, and the node "
            "starts without saved contacts",
            path=str(self._path),
            problem=problem,
            aside=str(aside),
        )

    def _write(self) -> None:
        assert self._path is not None
        self._write_call = None
        texts = [str(each) for each in self._contacts]
        data = json.dumps({"version": _VERSION, "contacts": texts}, indent=1).encode()
        try:
            write_atomically(self._path, data)
        except OSError as error:
            # one line for a full disk, not one for each change
            if not self._failing:
                self.log.warn(
                    "the contacts cannot be saved in {path} ({problem}); the file there stays as it was, "
                    "and the next change is tried again",
                    path=str(self._path),
                    problem=error.strerror,
                )
            self._failing = True
            return
        if self._failing:
            self.log.info("the contacts are saved again in {path}", path=str(self._path))
        self._failing = False


def _same_name(one: Contact, other: Contact) -> bool:
    return one.name is not None and one.name == other.name
