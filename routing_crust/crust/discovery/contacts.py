"""
Saved contacts: where the next start finds the network again, kept in a file.

There are three kinds. Proven ones have had us as a member, or have brought us to members; others have been
told to us, or have only let us in; demoted ones were tried without success. The file is JSON, C{{"version":
2, "contacts": [...], "unproven": [...], "hosts": [...]}}. The first two hold C{"name@address:port"}: the
proven ones, most recently proven first, then all others in the order of their turns. The third holds
C{"name@host:port"} and C{"dns:domain"}: proven ones that were found by a name. It is written a while after a
change, so that many changes cost one write, and when crust stops. A damaged file never keeps a node from
starting: it is renamed, and the log says so.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ...bounded_dict import BoundedDict
from ...endpoints import Contact, Endpoint
from ...errors import InvalidEndpoint
from ...files import read_bounded, write_atomically
from ...hosts.contacts import AnyContact, NamedContact, contact_from_text
from ...identity import PROTOCOL_VERSION
from ...names import Name
from ...timing.backoff import Backoff

MAX_SAVED_CONTACTS: Final = 1500
"""Contacts that are saved."""
MAX_SAVED_NAMED: Final = 32
"""Contacts by host name that are saved besides."""

WRITE_DELAY_SECONDS: Final = 1.0
"""Seconds from a change to its writing, at first; each further write comes twice as late."""
MAX_WRITE_DELAY_SECONDS: Final = 60.0
"""While changes go on: any stranger's link is one, and a write has all else wait for the disk."""
FILE_NAME: Final = "contacts.json"
DAMAGED_SUFFIX: Final = ".damaged"

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
        # each from the first to make room to the last
        self._proven: dict[Endpoint, Contact] = {}
        self._unproven: dict[Endpoint, Contact] = {}
        self._demoted: dict[Endpoint, Contact] = {}
        self._at: dict[Name, Endpoint] = {}
        # by what they are asked for; and which addresses of today are theirs
        self._named: dict[str, NamedContact] = {}
        self._by_name: BoundedDict[Endpoint, NamedContact] = BoundedDict(MAX_SAVED_NAMED)
        self._write_call: IDelayedCall | None = None
        self._write_waits = Backoff(WRITE_DELAY_SECONDS, 2.0, MAX_WRITE_DELAY_SECONDS)
        self._written = float("-inf")
        self._failing = False

    def load(self) -> None:
        """
        Read the file, if there is one. Unusable entries are logged; nothing is raised. Contacts in memory are
        newer than the file and stay.
        """
        if self._path is None or len(self):
            return
        try:
            data = self._read(self._path)
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
            proven, unproven, named = self._parse(data)
        except (ValueError, RecursionError) as error:
            self._put_aside(str(error))
            return
        self._named.update({each.where: each for each in named[:MAX_SAVED_NAMED]})
        for contact in proven:
            if len(self) < self._most and not self._is_known(contact):
                self._keep(self._proven, contact)
        # the file has the most recent first
        self._proven = dict(reversed(self._proven.items()))
        for contact in unproven:
            if len(self) < self._most and not self._is_known(contact):
                self._keep(self._unproven, contact)

    def __len__(self) -> int:
        return len(self._proven) + len(self._unproven) + len(self._demoted)

    @property
    def proven(self) -> tuple[Contact, ...]:
        """The contacts that have proven themselves, most recently proven first."""
        return tuple(reversed(self._proven.values()))

    def contacts(self) -> tuple[Contact, ...]:
        """All of them: the proven ones, most recently proven first, then the others in turn."""
        return (*self.proven, *self._unproven.values(), *self._demoted.values())

    @property
    def named(self) -> tuple[NamedContact, ...]:
        """The contacts by host name that have proven themselves, most recently proven first."""
        return tuple(reversed(self._named.values()))

    def is_proven(self, contact: Contact) -> bool:
        """Whether this very contact has proven itself."""
        return self._proven.get(contact.endpoint) == contact

    def remember(self, contact: Contact, proven: bool = True, by: NamedContact | None = None) -> None:
        """
        Keep a contact. A proven one replaces others of the same name or at the same endpoint. When there are
        too many, one that was demoted is dropped, else an unproven one, else the one that was proven longest
        ago.

        @param proven: an unproven contact comes after the proven ones, and replaces only a demoted one.
        @param by: the host name that its address was found by, which is saved instead of the address.
        """
        if contact.name == self._own or not self._most:
            return
        if proven and by is not None:
            self._remember_name(contact, by)
        if proven:
            if next(reversed(self._proven.values()), None) == contact:
                return
            self._drop(contact)
            self._keep(self._proven, contact)
        elif self._is_known(contact) or (len(self) >= self._most and not self._demoted):
            return
        else:
            self._keep(self._unproven, contact)
        # never the one that has just come: it is last of its kind, and the kinds before it go first
        if len(self) > self._most:
            kind = self._demoted or self._unproven or self._proven
            self._drop(next(iter(kind.values())))
        self._changed()

    def _remember_name(self, contact: Contact, by: NamedContact) -> None:
        saved = by if by.is_domain else replace(by, name=contact.name)
        self._by_name.put(contact.endpoint, saved)
        if next(reversed(self._named.values()), None) != saved:
            self._named.pop(saved.where, None)
            self._named[saved.where] = saved
            while len(self._named) > MAX_SAVED_NAMED:
                del self._named[next(iter(self._named))]
            self._changed()

    def demote(self, contact: Contact) -> None:
        """A contact failed, or has led nowhere: it comes last from now on, until it is proven."""
        if self._is_known(contact):
            self._drop(contact)
            self._keep(self._demoted, contact)
            self._changed()

    def forget(self, name: Name) -> None:
        """Remove the contact of a node; one that is not known is no error."""
        endpoint = self._at.get(name)
        if endpoint is not None:
            self._drop(Contact(endpoint, name))
            self._changed()
        for each in [each for each in self._named.values() if each.name == name]:
            del self._named[each.where]
            self._changed()

    def flush(self) -> None:
        """Write what has not been written yet, now."""
        if self._write_call is not None:
            self._write_call.cancel()
            self._write()

    def _changed(self) -> None:
        if self._path is not None and self._write_call is None:
            if self._clock.seconds() - self._written >= MAX_WRITE_DELAY_SECONDS:
                self._write_waits.reset()
            self._write_call = self._clock.callLater(self._write_waits.next_wait(), self._write)

    def _is_known(self, contact: Contact) -> bool:
        """Whether there is one of this name, or at this endpoint."""
        kinds = (self._proven, self._unproven, self._demoted)
        return any(contact.endpoint in each for each in kinds) or contact.name in self._at

    def _keep(self, kind: dict[Endpoint, Contact], contact: Contact) -> None:
        kind[contact.endpoint] = contact
        if contact.name is not None:
            self._at[contact.name] = contact.endpoint

    def _drop(self, contact: Contact) -> None:
        """Forget those of this name, and at this endpoint."""
        elsewhere = () if contact.name is None else (self._at.get(contact.name),)
        for endpoint in (contact.endpoint, *elsewhere):
            for kind in (self._proven, self._unproven, self._demoted):
                dropped = kind.pop(endpoint, None) if endpoint is not None else None
                if dropped is not None and dropped.name is not None:
                    del self._at[dropped.name]

    def _read(self, path: Path) -> bytes:
        """
        Read the file, as far as it can be one of ours: one that has grown huge must not fill the memory.

        @raise OSError: it cannot be read.
        """
        return read_bounded(path, _MAX_BYTES_PER_CONTACT * (self._most + 16) + 1)

    def _parse(self, data: bytes) -> tuple[list[Contact], list[Contact], list[NamedContact]]:
        """
        @raise ValueError: these are no lists of contacts. A single bad entry is left out instead.
        """
        if len(data) > _MAX_BYTES_PER_CONTACT * (self._most + 16):
            raise ValueError("it is too long")
        content = json.loads(data)
        texts = content.get("contacts") if isinstance(content, dict) else None
        others = content.get("unproven", []) if isinstance(content, dict) else None
        hosts = content.get("hosts", []) if isinstance(content, dict) else None
        if not (isinstance(texts, list) and isinstance(others, list) and isinstance(hosts, list)):
            raise ValueError("it is not a list of contacts")
        version = content.get("version")
        if version != PROTOCOL_VERSION:
            raise ValueError(f"it is of version {version!r}, and this node reads version {PROTOCOL_VERSION}")
        problems: list[str] = []
        proven = [self._parse_one(each, problems) for each in texts]
        unproven = [self._parse_one(each, problems) for each in others]
        named = [self._parse_one(each, problems) for each in hosts]
        if problems:
            self.log.warn(
                "{number} of the saved contacts are left out; the first: {problem}",
                number=len(problems),
                problem=problems[0],
            )
        return (
            [each for each in proven if isinstance(each, Contact)],
            [each for each in unproven if isinstance(each, Contact)],
            [each for each in reversed(named) if isinstance(each, NamedContact)],
        )

    def _parse_one(self, text: object, problems: list[str]) -> AnyContact | None:
        try:
            contact = contact_from_text(text if isinstance(text, str) else repr(text))
        except InvalidEndpoint as error:
            problems.append(str(error))
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
        self._written = self._clock.seconds()
        # the address that a host name has today may be another's tomorrow
        kept = [each for each in self.contacts() if self._by_name.get(each.endpoint, None) is None]
        content = {
            "version": PROTOCOL_VERSION,
            "contacts": [str(each) for each in kept if each.endpoint in self._proven],
            "unproven": [str(each) for each in kept if each.endpoint not in self._proven],
            "hosts": [str(each) for each in self.named],
        }
        data = json.dumps(content, indent=1).encode()
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
