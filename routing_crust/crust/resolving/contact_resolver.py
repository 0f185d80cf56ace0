"""
The addresses of contacts by name.

A host name is asked for in both families at once, and each answer is passed on when it comes, so that a name
server that is silent about one of them, or about another name, holds up nothing. A domain names its nodes by
SRV records of C{_routing-crust._tcp}, whose targets are host names, and by TXT records there, each
C{NAME@host:port}: these say which name must answer at a host, and name further hosts.

What name servers say is a stranger's word: an address is judged as one that a stranger gave, but for private
networks and low ports, which a host name may well have.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...bounded_dict import BoundedDict
from ...endpoints import Contact, Endpoint, PrivateDialling, refusal_to_dial
from ...hosts.contacts import SERVICE, AnyContact, NamedContact, contact_from_text
from ...hosts.host_names import host_name, is_like_address
from ...hosts.proxies import is_placeholder
from ...plain_errors import InvalidEndpoint
from .name_servers import Answer, NameServers, NotResolved, Record, RecordKind

MAX_ADDRESSES_OF_HOST: Final = 8
MAX_HOSTS_OF_DOMAIN: Final = 16
MAX_NAMED: Final = 128
"""Contacts by name of which the last addresses are remembered."""
MAX_CAME_BY_NAME: Final = 1024
"""Addresses that are remembered with the host name that they came by."""
LOCALHOST: Final = "localhost"
_FAMILIES: Final = (RecordKind.AAAA, RecordKind.A)

Found = Callable[[tuple[Contact, ...]], object]


class ContactResolver:
    """Made by a L{CrustService<routing_crust.crust.service.CrustService>}."""

    log = Logger()

    def __init__(
        self,
        servers: NameServers,
        random: Random,
        own: Callable[[], tuple[Endpoint, ...]],
        elsewhere: Callable[[str], Answer | None] = lambda host: None,
    ) -> None:
        """
        @param own: our own endpoints.
        @param elsewhere: what stands for a host name that is not to be resolved here; C{None} if it is.
        """
        self._servers = servers
        self._random = random
        self._own = own
        self._elsewhere = elsewhere
        self._known: BoundedDict[NamedContact, tuple[Contact, ...]] = BoundedDict(MAX_NAMED)
        self._came_by: BoundedDict[Endpoint, NamedContact] = BoundedDict(MAX_CAME_BY_NAME)
        self._told_by: BoundedDict[Endpoint, str] = BoundedDict(MAX_CAME_BY_NAME)
        self._problems: BoundedDict[NamedContact, str] = BoundedDict(MAX_NAMED)

    def addresses(self, contacts: Iterable[AnyContact]) -> tuple[Contact, ...]:
        """These contacts at addresses; those by name have the addresses that they had last."""
        return tuple(
            at
            for each in contacts
            for at in ((each,) if isinstance(each, Contact) else self._known.get(each, ()))
        )

    def came_by(self, endpoint: Endpoint) -> NamedContact | None:
        """The host name by which an endpoint was found, if it was."""
        return self._came_by.get(endpoint, None)

    def told_by(self, endpoint: Endpoint) -> str:
        """Which server has said that a host name has this address, in words."""
        return self._told_by.get(endpoint, "")

    def problem_with(self, contact: NamedContact) -> str:
        """Why a contact by name had no address when it was last looked for; empty if it had one."""
        return self._problems.get(contact, "")

    def resolve(self, contact: NamedContact, found: Found = lambda contacts: None) -> Deferred[None]:
        """
        Find out the addresses of a contact by name.

        @param found: called with each part of them, as it comes.
        @return: fires when all have come; fails with L{NotResolved} if there are none. Can be cancelled.
        """
        asked = Deferred.fromCoroutine(self._resolve(contact, found))
        return asked.addErrback(self._failed, contact)

    def stop(self) -> Deferred[None]:
        """Call off all that is asked."""
        return self._servers.stop()

    async def _resolve(self, contact: NamedContact, found: Found) -> None:
        so_far: dict[Endpoint, Contact] = {}

        def keep(contacts: tuple[Contact, ...]) -> None:
            new = tuple(each for each in contacts if each.endpoint not in so_far)
            so_far.update({each.endpoint: each for each in new})
            # what it came by is what was configured, whichever host of a domain it was
            for each in new:
                self._came_by.put(each.endpoint, contact)
            found(new)

        hosts = await self._hosts_of(contact) if contact.is_domain else (contact,)
        problems: list[str] = []
        await _all(self._resolve_host(each, keep, problems) for each in hosts)
        if not so_far:
            raise NotResolved("; ".join(dict.fromkeys(problems)))
        self._known.put(contact, tuple(so_far.values()))
        if self._problems.pop(contact, None):
            self.log.info("{contact} is resolved again", contact=contact.where)

    async def _hosts_of(self, domain: NamedContact) -> tuple[NamedContact, ...]:
        """The hosts that a domain names, those that are to be dialled first before others."""
        service = f"{SERVICE}.{domain.host}"
        answers: list[Answer] = []
        problems: list[str] = []
        await _all(self._ask(service, kind, answers, problems) for kind in (RecordKind.SRV, RecordKind.TXT))
        records = [record for each in answers for record in each.records]
        named = dict.fromkeys(filter(None, (_named(each.text) for each in records if not each.port)))
        by_place = {each.where: each for each in named}
        places = (_host_of(each) for each in self._in_order([each for each in records if each.port]))
        listed = [by_place.pop(each.where, each) for each in places if each is not None]
        hosts = tuple(dict.fromkeys((*listed, *by_place.values())))[:MAX_HOSTS_OF_DOMAIN]
        if not hosts:
            raise NotResolved("; ".join(problems) or _nothing(service, answers, "SRV or TXT record"))
        return hosts

    def _in_order(self, records: list[Record]) -> list[Record]:
        """The least priority first; among equals the heavier ones more likely (RFC 2782)."""
        chance = {each: self._random.random() ** (1.0 / (each.weight or 0.1)) for each in records}
        return sorted(records, key=lambda each: (each.priority, -chance[each]))

    async def _resolve_host(self, host: NamedContact, found: Found, problems: list[str]) -> None:
        answers: list[Answer] = []

        def heard(answer: Answer) -> None:
            answers.append(answer)
            found(self._judged(host, answer, problems))

        fixed = _fixed(host.host) or self._elsewhere(host.host)
        if fixed is not None:
            heard(fixed)
            return
        mine: list[str] = []
        await _all(self._ask(host.host, kind, answers, mine, heard) for kind in _FAMILIES)
        if not any(each.records for each in answers):
            problems += mine or [_nothing(host.host, answers, "address")]

    async def _ask(
        self,
        name: str,
        kind: RecordKind,
        answers: list[Answer],
        problems: list[str],
        heard: Callable[[Answer], object] | None = None,
    ) -> None:
        try:
            answer = await self._servers.ask(name, kind)
        except NotResolved as problem:
            if str(problem) not in problems:
                problems.append(str(problem))
        else:
            (answers.append if heard is None else heard)(answer)

    def _judged(self, host: NamedContact, answer: Answer, problems: list[str]) -> tuple[Contact, ...]:
        """The contacts at the addresses of an answer that may be dialled."""
        good: list[Contact] = []
        for record in answer.records[:MAX_ADDRESSES_OF_HOST]:
            refusal, endpoint = "it is no address", None
            try:
                endpoint = Endpoint.of(record.text, host.port)
                refusal = self._refusal(endpoint, host.host)
            except InvalidEndpoint:
                pass
            if endpoint is None or refusal:
                problems.append(f"{host.host}: {answer.server} says {record.text}: {refusal}")
                continue
            self._told_by.put(endpoint, answer.server)
            good.append(Contact(endpoint, host.name))
        return tuple(good)

    def _refusal(self, endpoint: Endpoint, host: str) -> str:
        if host.rpartition(".")[2] == LOCALHOST and endpoint not in self._own():
            return ""
        if is_placeholder(endpoint.host):
            return "" if self._elsewhere(host) else "it is a reserved address"
        refusal = refusal_to_dial(endpoint, PrivateDialling.ALWAYS, self._own(), low_ports=(endpoint.port,))
        return f"not dialled: {refusal}" if refusal else ""

    def _failed(self, failure: Failure, contact: NamedContact) -> Failure:
        if failure.check(CancelledError) is None:
            failure.trap(NotResolved)
            problem = str(failure.value)
            # once for each problem, however often it is tried again
            if self._problems.get(contact, "") != problem:
                self._problems.put(contact, problem)
                self.log.warn(
                    "the contact {contact} has no address: {problem}; it is tried again",
                    contact=contact.where,
                    problem=problem,
                )
        return failure


async def _all(parts: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for all of these. Calling that off calls them off."""
    try:
        await gatherResults([Deferred.fromCoroutine(each) for each in parts], consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()


def _fixed(host: str) -> Answer | None:
    """The answer of hosts that no name server is asked for."""
    if is_like_address(host):
        return Answer("its record", (Record(host),))
    # these names mean this machine (RFC 6761, section 6.3)
    if host.rpartition(".")[2] == LOCALHOST:
        return Answer("this machine", (Record("::1"), Record("127.0.0.1")))
    return None


def _nothing(name: str, answers: list[Answer], what: str) -> str:
    return f"{name}: it has no {what} ({', '.join(dict.fromkeys(each.server for each in answers))})"


def _host_of(record: Record) -> NamedContact | None:
    # RFC 2782: the root as target says that there is no such service
    try:
        return NamedContact(host_name(record.text), record.port) if record.text else None
    except InvalidEndpoint:
        return None


def _named(text: str) -> NamedContact | None:
    """The contact of a TXT record; C{None} if it says something else."""
    try:
        contact = contact_from_text(text)
    except InvalidEndpoint:
        return None
    if isinstance(contact, Contact):
        return NamedContact(contact.endpoint.host, contact.endpoint.port, contact.name)
    return None if contact.is_domain else contact
