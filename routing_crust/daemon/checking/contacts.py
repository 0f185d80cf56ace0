"""
Whether the contacts of settings can be dialled: which addresses a name has, which server says so, and whether
a connection to each comes up.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator, Sequence
from random import SystemRandom
from typing import Any, Final

from twisted.internet.defer import DeferredList
from twisted.internet.selectreactor import SelectReactor

from ...crust.proxying.negotiations import ProxyFailed, negotiation_with
from ...crust.resolving.contact_resolver import ContactResolver
from ...crust.resolving.dns import Dns
from ...crust.resolving.name_servers import Answer, Record
from ...endpoints import Contact, Endpoint
from ...hosts.contacts import AnyContact, NamedContact
from ...hosts.proxies import Proxy, ProxyRules, is_placeholder, placeholder

DIAL_SECONDS: Final = 3.0
"""How long a connection to one address may take."""
READ_BYTES: Final = 4096
DIRECT: Final = ProxyRules()


def check_contacts(contacts: Sequence[AnyContact], rules: ProxyRules) -> Iterator[tuple[str, str]]:
    """
    Try the contacts.

    @param rules: which of them are dialled through which proxy.
    @return: each, with the problem that there is with it, empty if there is none; one by name for each of its
        addresses.
    """
    resolver = _resolved([each for each in contacts if isinstance(each, NamedContact)], rules)
    for contact in contacts:
        if isinstance(contact, Contact):
            yield _told(str(contact), contact.endpoint, rules), problem_of(contact.endpoint, rules)
            continue
        addresses = resolver.addresses((contact,))
        if not addresses:
            yield str(contact), resolver.problem_with(contact)
        for each in addresses:
            if is_placeholder(each.endpoint.host):
                yield (
                    _told(str(contact), each.endpoint, rules),
                    problem_of(each.endpoint, rules, contact.host),
                )
                continue
            # name servers may disagree, so each address has its source
            source = f"{contact} is {each.endpoint} by {resolver.told_by(each.endpoint)}"
            yield _told(source, each.endpoint, rules), problem_of(each.endpoint, rules)


def problem_of(endpoint: Endpoint, rules: ProxyRules = DIRECT, host: str = "") -> str:
    """
    Why a connection to an address fails; empty if it succeeds.

    @param host: the host name that the address stands for, if it does.
    """
    try:
        if rules.for_endpoint(endpoint):
            _through(rules.proxy, host or endpoint.host, endpoint.port)
        else:
            socket.create_connection((endpoint.host, endpoint.port), DIAL_SECONDS).close()
    except TimeoutError:
        return f"no answer within {DIAL_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)
    except ProxyFailed as error:
        return str(error)
    return ""


def _told(contact: str, endpoint: Endpoint, rules: ProxyRules) -> str:
    return f"{contact} through the proxy {rules.proxy}" if rules.for_endpoint(endpoint) else contact


def _through(proxy: Proxy, host: str, port: int) -> None:
    negotiation = negotiation_with(proxy, host, port)
    try:
        near = socket.create_connection((proxy.host, proxy.port), DIAL_SECONDS)
    except OSError as error:
        problem = error.strerror or "no answer"
        raise ProxyFailed(f"the proxy {proxy} cannot be reached: {problem.lower()}") from None
    with near:
        near.sendall(negotiation.begin())
        while not negotiation.done:
            data = near.recv(READ_BYTES)
            if not data:
                raise ProxyFailed(f"the proxy {proxy} closed the connection without an answer")
            near.sendall(negotiation.feed(data))


def _resolved(contacts: Iterable[NamedContact], rules: ProxyRules) -> ContactResolver:
    """Find out the addresses of contacts by name, by a reactor that does nothing else."""
    reactor: Any = SelectReactor()

    def elsewhere(host: str) -> Answer | None:
        stands = (Record(placeholder(host)),)
        return Answer(f"the proxy {rules.proxy}", stands) if rules.resolves(host) else None

    # as for a node that listens at loopback addresses: what cannot be dialled, the connection shows
    resolver = ContactResolver(Dns(reactor), SystemRandom(), lambda: (Endpoint("127.0.0.1", 1),), elsewhere)

    def begin() -> None:
        asked = [resolver.resolve(each) for each in contacts]
        DeferredList(asked, consumeErrors=True).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    return resolver
