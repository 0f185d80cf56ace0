"""
Contacts as settings have them: at an address, at a host name, or all that a domain names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..endpoints import Contact
from ..names import Name
from ..plain_errors import InvalidEndpoint, InvalidName
from .host_names import host_name, is_like_address

SERVICE: Final = "_routing-crust._tcp"
"""Under this name a domain says where its nodes are: by SRV and TXT records."""
DOMAIN_PREFIX: Final = "dns:"
_FORM: Final = (
    "write host:port or NAME@host:port, as in home.example.org:5483 or 192.0.2.1:5483, or dns:example.org "
    "for the nodes that a domain names"
)


@dataclass(frozen=True, slots=True)
class NamedContact:
    """
    A node at a host name, or the nodes that a domain names. Which addresses they have is asked of name
    servers whenever they are dialled.

    @ivar host: the host name, or the domain, as name servers know it.
    @ivar port: the port; 0 for a domain, whose records say it.
    @ivar name: the name that must answer; C{None} accepts any.
    """

    host: str
    port: int
    name: Name | None = None

    @property
    def is_domain(self) -> bool:
        """Whether the nodes are those that a domain names."""
        return self.port == 0

    @property
    def where(self) -> str:
        """What is asked for, as it is written in settings, without the node's name."""
        return f"{DOMAIN_PREFIX}{self.host}" if self.is_domain else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.name}@{self.where}" if self.name else self.where


AnyContact = Contact | NamedContact
"""What the setting C{contacts} holds."""


def contact_from_text(text: str) -> AnyContact:
    """
    Read C{host:port} or C{NAME@host:port}, with an address or a host name; or C{dns:example.org}.

    @raise InvalidEndpoint: with what is wrong.
    """
    text = text.strip()
    if text.startswith(DOMAIN_PREFIX):
        return NamedContact(_host(text, text.removeprefix(DOMAIN_PREFIX)), 0)
    name, at, where = text.rpartition("@")
    host, colon, port = where.rpartition(":")
    # what was meant as an address gets the errors of addresses
    if is_like_address(host if colon else where):
        return Contact.from_text(text)
    if where.startswith(DOMAIN_PREFIX):
        raise InvalidEndpoint(
            f"{text!r} is not a contact: the records of a domain say which names its nodes have, so leave "
            f"out {name}@"
        )
    if not colon or not (port.isascii() and port.isdigit()) or len(port) > 5:
        raise InvalidEndpoint(f"{text!r} is not a contact: {_FORM}")
    if not 1 <= int(port) <= 65535:
        raise InvalidEndpoint(f"{text!r} is not a contact: ports go from 1 to 65535")
    try:
        return NamedContact(_host(text, host), int(port), Name.from_text(name) if at else None)
    except InvalidName as error:
        raise InvalidEndpoint(f"{text!r} is not a contact (NAME@host:port): {error}") from None


def _host(text: str, host: str) -> str:
    try:
        return host_name(host)
    except InvalidEndpoint as error:
        raise InvalidEndpoint(f"{text!r} is not a contact: {error}") from None
