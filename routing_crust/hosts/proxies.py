"""
Proxies that let connections out of a network: their addresses as settings and environments have them.

No text that is made here shows a user or a password, and no error does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import unquote, urlsplit

from ..endpoints import Endpoint, is_local_only
from ..plain_errors import InvalidEndpoint
from .host_names import host_name, is_like_address

MAX_CREDENTIAL_BYTES: Final = 255
"""What SOCKS5 has room for (RFC 1929)."""
DEFAULT_PORTS: Final = {"http": 80, "socks5": 1080, "socks5h": 1080}
PROXY_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
"""In this order, as curl has it."""
NO_PROXY_VARIABLES: Final = ("no_proxy", "NO_PROXY")
_LOGIN: Final = re.compile(r"(?s)\A([A-Za-z0-9]*://|).*@")
_LISTENING: Final = re.compile(r"(\d{1,5}|(tcp6?|ssl|unix|systemd):[^/].*)\Z")
_FORM: Final = "write http://[USER:PASSWORD@]HOST:PORT, socks5://... or socks5h://..., or environment"
# addresses that lead nowhere (RFC 6666), so that none is mistaken for a host
_PLACEHOLDERS: Final = IPv6Network("100::/64")


class ProxyKind(str, Enum):
    """What a proxy speaks."""

    NONE = ""
    """There is none."""
    ENVIRONMENT = "environment"
    """Variables of the environment name it."""
    HTTP = "http"
    """CONNECT (RFC 9110, section 9.3.6)."""
    SOCKS5 = "socks5"
    """RFC 1928; host names are resolved here."""
    SOCKS5H = "socks5h"
    """RFC 1928; host names are resolved by the proxy."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    A proxy, or none.

    @ivar host: its host name or address.
    @ivar user: who we are to it; empty if it does not ask.
    """

    kind: ProxyKind = ProxyKind.NONE
    host: str = ""
    port: int = 0
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def from_text(cls, text: str) -> Proxy:
        """
        Read C{http://USER:PASSWORD@proxy:3128} or the like; or C{environment}; empty is none.

        @raise InvalidEndpoint: it cannot be used. The error has no user and no password in it.
        """
        text = text.strip()
        if text in ("", ProxyKind.ENVIRONMENT.value):
            return cls(ProxyKind(text))
        # errors end up in logs
        shown = repr(_LOGIN.sub(r"\1...@", text))
        scheme = text.partition("://")[0].lower() if "://" in text else ""
        if scheme == "https":
            raise InvalidEndpoint(
                f"{shown}: TLS to the proxy itself is not spoken: write http://; links have their own TLS"
            )
        if _LISTENING.match(text):
            raise InvalidEndpoint(
                f"{shown} is a place to listen: for a proxy that serves the programs of this machine write "
                f"it as local_proxy, or after --local-proxy; as one to go out through {_FORM}"
            )
        if scheme not in DEFAULT_PORTS:
            raise InvalidEndpoint(f"{shown} is not a proxy: {_FORM}")
        try:
            url = urlsplit(text)
            port = url.port
            host = url.hostname or ""
            host = str(ip_address(host)) if is_like_address(host) else host_name(host)
        except ValueError:
            raise InvalidEndpoint(f"{shown} is not a proxy: {_FORM}") from None
        if url.path not in ("", "/") or url.query or url.fragment or port == 0:
            raise InvalidEndpoint(f"{shown} is not a proxy: {_FORM}")
        user, password = (unquote(each or "") for each in (url.username, url.password))
        if any(
            len(each.encode()) > MAX_CREDENTIAL_BYTES or not each.isprintable() for each in (user, password)
        ):
            raise InvalidEndpoint(
                f"{shown}: user and password have at most {MAX_CREDENTIAL_BYTES} printable characters each"
            )
        # Basic joins the two with a colon (RFC 7617), so none can be in the user
        if (password and not user) or ":" in user:
            raise InvalidEndpoint(f"{shown}: a password needs a user, which has no colon")
        return cls(ProxyKind(scheme), host, port or DEFAULT_PORTS[scheme], user, password)

    @property
    def resolves(self) -> bool:
        """Whether host names are resolved by the proxy."""
        return self.kind in (ProxyKind.HTTP, ProxyKind.SOCKS5H)

    def __str__(self) -> str:
        if not self.host:
            return self.kind.value
        return f"{self.kind.value}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


NO_PROXY: Final = Proxy()


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """
    Which connections go through which proxy.

    @ivar exempt: hosts, domains and networks that are dialled directly.
    """

    proxy: Proxy = NO_PROXY
    exempt: tuple[str, ...] = ()

    @classmethod
    def of(cls, setting: Proxy, environment: Mapping[str, str]) -> ProxyRules:
        """
        What a setting means.

        @raise InvalidEndpoint: a variable of the environment cannot be used; the error names it.
        """
        if setting.kind is not ProxyKind.ENVIRONMENT:
            return cls(setting)
        variable = next((each for each in PROXY_VARIABLES if environment.get(each, "").strip()), None)
        if variable is None:
            return cls()
        text = environment[variable].strip()
        try:
            # without a scheme it is an HTTP proxy, by custom
            proxy = Proxy.from_text(text if "://" in text else f"http://{text}")
        except InvalidEndpoint as error:
            raise InvalidEndpoint(f"the environment's {variable}: {error}") from None
        exempt = next((environment[each] for each in NO_PROXY_VARIABLES if environment.get(each)), "")
        return cls(proxy, tuple(each.strip().lower() for each in exempt.split(",") if each.strip()))

    def for_endpoint(self, endpoint: Endpoint) -> bool:
        """Whether an address is dialled through the proxy, as none of a local network is."""
        if self.proxy.kind is ProxyKind.NONE:
            return False
        if is_placeholder(endpoint.host):
            return True
        return not is_local_only(endpoint) and not any(_covers(each, endpoint.host) for each in self.exempt)

    def resolves(self, host: str) -> bool:
        """Whether a host name is resolved by the proxy."""
        return self.proxy.resolves and not any(_covers(each, host) for each in self.exempt)


def _covers(entry: str, host: str) -> bool:
    """Whether an entry of C{NO_PROXY} is for a host."""
    if entry == "*":
        return True
    if is_like_address(host):
        try:
            return ip_address(host.partition("%")[0]) in ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            return False
    # example.org, .example.org and *.example.org all mean the domain and what is below it
    domain = entry.lstrip("*").lstrip(".")
    return host == domain or host.endswith(f".{domain}")


def placeholder(host: str) -> str:
    """The address that stands for a host name which only the proxy resolves."""
    return str(_PLACEHOLDERS[int.from_bytes(sha256(host.encode()).digest()[:8], "big")])


def is_placeholder(host: str) -> bool:
    """Whether an address stands for a host name."""
    return host.startswith("100:") and IPv6Address(host) in _PLACEHOLDERS
