"""
Names of the domain name system, by C{twisted.names}.

The hosts file is looked at first. Then the servers that the system is set up to use are asked one after the
other, until one answers: so each error can say which servers were asked. Nothing is kept from one question to
the next, since a contact is given by its host name where its address changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from socket import AF_INET6, inet_ntop
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.internet.error import CannotListenError, ConnectError, ConnectionClosed, InvalidAddressError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.names import dns, hosts
from twisted.names.client import Resolver
from twisted.names.error import (
    DNSFormatError,
    DNSNameError,
    DNSNotImplementedError,
    DNSQueryRefusedError,
    DNSServerError,
    DomainError,
)
from twisted.python.filepath import FilePath

from ...timing.timers import cancel
from .name_servers import Answer, NotResolved, Record, RecordKind

SECONDS_FOR_ANSWER: Final = (1, 2)
"""How long a server may take to answer, and again when it is asked once more."""
SECONDS_IN_ALL: Final = 12.0
"""How long one question may take with all servers."""
MAX_SERVERS: Final = 3
"""As many as the C library asks."""
MAX_SEARCH_DOMAINS: Final = 6
RESOLV_CONF: Final = Path("/etc/resolv.conf")
HOSTS_FILE: Final = Path("/etc/hosts")
MAX_FILE_BYTES: Final = 1024 * 1024

_TYPES: Final = {
    RecordKind.A: dns.A,
    RecordKind.AAAA: dns.AAAA,
    RecordKind.SRV: dns.SRV,
    RecordKind.TXT: dns.TXT,
}
Server = tuple[str, int]


class Dns:
    """
    Asks the name servers of this machine. Made by the platform, and used until L{stop}, again and again.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        servers: Sequence[Server] | None = None,
        resolv_conf: Path = RESOLV_CONF,
        hosts_file: Path = HOSTS_FILE,
    ) -> None:
        """
        @param reactor: provides C{IReactorTime}, C{IReactorUDP} and C{IReactorTCP}.
        @param servers: addresses and ports of the servers to ask; C{None} for those of C{resolv_conf}, which
            is read for each question.
        """
        self._reactor = reactor
        self._servers = servers
        self._resolv_conf = resolv_conf
        self._hosts_file = hosts_file
        self._asked: dict[_Question, Deferred[Answer]] = {}
        self._closing: dict[Deferred[Any], None] = {}

    def ask(self, name: str, kind: RecordKind) -> Deferred[Answer]:
        question = _Question(self._reactor, kind)
        asked = Deferred.fromCoroutine(self._ask(question, name, kind))
        self._asked[question] = asked
        return asked.addBoth(self._done, question)

    def stop(self) -> Deferred[None]:
        for asked in list(self._asked.values()):
            asked.cancel()
        ended: Deferred[Any] = DeferredList(list(self._closing), consumeErrors=True)
        return ended.addCallback(lambda _: None)

    def _done(self, outcome: Any, question: _Question) -> Any:
        del self._asked[question]
        closed = question.close()
        self._closing[closed] = None
        closed.addBoth(lambda _: self._closing.pop(closed, None))
        return outcome

    async def _ask(self, question: _Question, name: str, kind: RecordKind) -> Answer:
        if kind in (RecordKind.A, RecordKind.AAAA) and (addresses := self._in_hosts_file(name)):
            # a name of that file is not asked for elsewhere, in the other family neither
            records = tuple(Record(each) for each in addresses if (":" in each) == (kind is RecordKind.AAAA))
            return Answer(str(self._hosts_file), records)
        servers, search = self._configured()
        # a name without a dot is one of our own domain first, as for the C library
        names = [*(f"{name}.{each}" for each in search if "." not in name), name]
        question.limit(SECONDS_IN_ALL)
        problems: list[str] = []
        for server in servers[:MAX_SERVERS]:
            answer = await _ask_server(question, server, names)
            if isinstance(answer, Answer):
                return answer
            problems.append(answer)
        told = "; ".join(problems) or f"{self._resolv_conf} names none"
        raise NotResolved(f"{name}: no name server answers ({told})")

    def _configured(self) -> tuple[Sequence[Server], Sequence[str]]:
        """The servers to ask, and the domains in which a name without a dot is looked for."""
        if self._servers is not None:
            return self._servers, ()
        servers: list[Server] = []
        search: list[str] = []
        try:
            with self._resolv_conf.open(encoding="utf-8", errors="replace") as file:
                lines = file.read(MAX_FILE_BYTES).splitlines()
        except OSError:
            lines = []
        for line in lines:
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1:
                servers.append((words[1], dns.PORT))
            elif words[:1] in (["search"], ["domain"]):
                search = [each.strip(".") for each in words[1 : MAX_SEARCH_DOMAINS + 1] if each.strip(".")]
        return servers, search

    def _in_hosts_file(self, name: str) -> list[str]:
        return list(hosts.searchFileForAll(FilePath(str(self._hosts_file)), name.encode("ascii")))


async def _ask_server(question: _Question, server: Server, names: Sequence[str]) -> Answer | str:
    """
    @param names: tried in turn until one has records.
    @return: the answer, or why there is none.
    @raise NotResolved: the server is sure that there is no such name.
    """
    text, is_known = _in_words(server), False
    for name in names:
        try:
            records = await question.put(server, name)
        except _NoSuchName:
            continue
        except _NoAnswer as error:
            return f"{text} {error}"
        if records:
            return Answer(f"the name server {text}", records)
        is_known = True
    if is_known:
        return Answer(f"the name server {text}", ())
    raise NotResolved(f"{names[-1]}: the name server {text} does not know this name")


class _NoAnswer(Exception):
    """A server has not answered, or not this question; the text says how."""


class _NoSuchName(Exception):
    """A server says that there is no such name."""


class _Question:
    """
    One question, on its way from server to server.

    C{twisted.names} has no means to call a question off. So it is given this as its reactor: what knows all
    that it has opened, and closes it.
    """

    def __init__(self, reactor: Any, kind: RecordKind) -> None:
        self._reactor = reactor
        self._kind = kind
        self._connectors: list[Any] = []
        self._calls: list[IDelayedCall] = []
        self._asked: Deferred[Any] | None = None
        self._is_late = False
        self.seconds = reactor.seconds

    def limit(self, seconds: float) -> None:
        """Give up after this time."""
        self.callLater(seconds, self._too_late)

    async def put(self, server: Server, name: str) -> tuple[Record, ...]:
        """
        Ask one server.

        @raise _NoSuchName: it says so.
        @raise _NoAnswer: nothing of use has come.
        """
        if self._is_late:
            raise _NoAnswer("was not asked for lack of time")
        resolver = Resolver(servers=[server], timeout=SECONDS_FOR_ANSWER, reactor=self)
        try:
            self._asked = resolver.query(dns.Query(name.encode("ascii"), _TYPES[self._kind], dns.IN))
            answers, _, _ = await self._asked
        except DNSNameError:
            raise _NoSuchName from None
        except DomainError as error:
            raise _NoAnswer(_REFUSALS.get(type(error), "reports an error")) from None
        except CancelledError:
            if self._is_late:
                raise _NoAnswer("does not answer") from None
            raise
        except TimeoutError:
            raise _NoAnswer("does not answer") from None
        except (OSError, CannotListenError, ConnectError, ConnectionClosed, InvalidAddressError) as error:
            raise _NoAnswer(f"cannot be asked ({error})") from None
        return tuple(filter(None, (_record(each, self._kind) for each in answers)))

    def close(self) -> Deferred[Any]:
        """Leave nothing open; fires when that is so."""
        for call in self._calls:
            cancel(call)
        for connector in self._connectors:
            connector.disconnect()
        self._calls, self._connectors = [], []
        # the resolver closes its ports itself, which takes the reactor one turn
        return deferLater(self._reactor, 0)

    def _too_late(self) -> None:
        self._is_late = True
        if self._asked is not None:
            self._asked.cancel()

    # What the resolver takes for the reactor.

    def callLater(self, delay: float, call: Callable[..., object], *args: object, **named: object) -> Any:
        self._calls = [each for each in self._calls if each.active()]
        later = self._reactor.callLater(delay, call, *args, **named)
        self._calls.append(later)
        return later

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> Any:
        return self._reactor.listenUDP(port, protocol, interface)

    def connectTCP(self, host: str, port: int, factory: Any) -> Any:
        connector = self._reactor.connectTCP(host, port, factory, timeout=SECONDS_FOR_ANSWER[-1])
        self._connectors.append(connector)
        return connector


_REFUSALS: Final[dict[type, str]] = {
    DNSServerError: "reports a failure of its own (SERVFAIL)",
    DNSQueryRefusedError: "refuses to answer (REFUSED)",
    DNSFormatError: "does not understand the question (FORMERR)",
    DNSNotImplementedError: "does not answer such questions (NOTIMP)",
}


def _in_words(server: Server) -> str:
    return server[0] if server[1] == dns.PORT else f"{server[0]} port {server[1]}"


def _record(header: dns.RRHeader, kind: RecordKind) -> Record | None:
    """What an answer says; C{None} if it is of another kind, as the steps to a name's real one are."""
    if header.type != _TYPES[kind]:
        return None
    payload: Any = header.payload
    if kind in (RecordKind.A, RecordKind.AAAA):
        return Record(
            str(payload.dottedQuad() if kind is RecordKind.A else inet_ntop(AF_INET6, payload.address))
        )
    if kind is RecordKind.SRV:
        target = str(payload.target).rstrip(".")
        return Record(target, payload.port, payload.priority, payload.weight)
    return Record(b"".join(payload.data).decode("utf-8", "replace"))
