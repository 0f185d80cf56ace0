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

from ...crust.resolving.contact_resolver import ContactResolver
from ...crust.resolving.dns import Dns
from ...endpoints import Contact, Endpoint
from ...hosts.contacts import AnyContact, NamedContact

DIAL_SECONDS: Final = 3.0
"""For a connection to one address."""


def check_contacts(contacts: Sequence[AnyContact]) -> Iterator[tuple[str, str]]:
    """
    Try the contacts.

    @return: each, with the problem that there is with it, empty if there is none; one by name for each of its
        addresses.
    """
    resolver = _resolved([each for each in contacts if isinstance(each, NamedContact)])
    for contact in contacts:
        if isinstance(contact, Contact):
            yield str(contact), problem_of(contact.endpoint)
            continue
        addresses = resolver.addresses((contact,))
        if not addresses:
            yield str(contact), resolver.problem_with(contact)
        for each in addresses:
            source = f"{contact} is {each.endpoint} by {resolver.told_by(each.endpoint)}"
            yield source, problem_of(each.endpoint)


def problem_of(endpoint: Endpoint) -> str:
    """Why a connection to an address fails; empty if it succeeds."""
    try:
        socket.create_connection((endpoint.host, endpoint.port), DIAL_SECONDS).close()
    except TimeoutError:
        return f"no answer within {DIAL_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _resolved(contacts: Iterable[NamedContact]) -> ContactResolver:
    """Find out the addresses of contacts by name, by a reactor that does nothing else."""
    reactor: Any = SelectReactor()
    # as for a node that listens at loopback addresses: what cannot be dialled, the connection shows
    resolver = ContactResolver(Dns(reactor), SystemRandom(), lambda: (Endpoint("127.0.0.1", 1),))

    def begin() -> None:
        asked = [resolver.resolve(each) for each in contacts]
        DeferredList(asked, consumeErrors=True).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    return resolver
