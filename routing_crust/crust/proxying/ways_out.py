"""
Which dials go through the proxy of this node, and the dials that do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IConnector, IProtocolFactory

from ...bounded_dict import BoundedDict
from ...config import Settings
from ...endpoints import Endpoint
from ...hosts.proxies import ProxyRules, is_placeholder, placeholder
from ...plain_errors import ConfigurationError, InvalidEndpoint
from ..netstate.paths import SYSTEM_PATH, DialPath
from ..netstate.uplinks import Uplink
from ..platform import Platform
from ..resolving.name_servers import Answer, Record
from .connecting import ProxiedFactory
from .negotiations import negotiation_with

MAX_NAMES: Final = 1024
"""Host names that only the proxy resolves."""


class WaysOut:
    """Made by a L{CrustService<routing_crust.crust.service.CrustService>}."""

    def __init__(self, settings: Settings, platform: Platform) -> None:
        """
        @raise ConfigurationError: the environment names a proxy that cannot be used.
        """
        try:
            self._rules = ProxyRules.of(settings.proxy, os.environ)
        except InvalidEndpoint as error:
            raise ConfigurationError("proxy", str(error)) from None
        self._platform = platform
        self._names: BoundedDict[str, str] = BoundedDict(MAX_NAMES)

    @property
    def in_words(self) -> str:
        """The proxy, without secrets; empty if there is none."""
        return str(self._rules.proxy)

    def proxy_of(self, endpoint: Endpoint) -> str:
        """The proxy that this is dialled through, in words; empty for none."""
        return self.in_words if self._rules.for_endpoint(endpoint) else ""

    def answer_for(self, host: str) -> Answer | None:
        """The address that stands for a host name, if the proxy is to resolve it; else C{None}."""
        if not self._rules.resolves(host):
            return None
        address = placeholder(host)
        # the dial comes later, and is given the address alone
        self._names.put(address, host)
        return Answer(f"the proxy {self.in_words}", (Record(address),))

    def uplinks(self, remote: Endpoint) -> Sequence[Uplink]:
        """The other interfaces, as C{Platform.uplinks} says; none where the proxy is dialled."""
        return () if self._rules.for_endpoint(remote) else self._platform.uplinks(remote)

    def connect(
        self,
        remote: Endpoint,
        factory: IProtocolFactory,
        origin: Endpoint | None,
        path: DialPath = SYSTEM_PATH,
    ) -> IConnector:
        """Begin a TCP connection, as C{Platform.connect} does; through the proxy, from any port."""
        if not self._rules.for_endpoint(remote):
            return self._platform.connect(remote, factory, origin, path)
        proxy = self._rules.proxy
        # a placeholder stands for a name that only the proxy can resolve
        host = self._names.get(remote.host, remote.host) if is_placeholder(remote.host) else remote.host
        proxied = ProxiedFactory(factory, proxy, negotiation_with(proxy, host, remote.port), remote)
        return self._platform.connect_to_host(proxy.host, proxy.port, proxied)
