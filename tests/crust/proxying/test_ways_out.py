"""Links through a proxy, over real sockets."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor as _reactor

from routing_crust.crust.interfaces import Rendezvous
from routing_crust.crust.service import CrustService
from routing_crust.endpoints import Contact, Direction, Endpoint
from routing_crust.errors import ConfigurationError, ConnectFailed
from routing_crust.hosts import proxies
from routing_crust.hosts.contacts import NamedContact
from routing_crust.hosts.proxies import Proxy
from routing_crust.timing.shares import OURSELVES

from ..addresses import name
from ..services import KIND, Receiver, ServiceTests
from .fakes import FakeProxyFactory

reactor: Any = _reactor


class ProxiedTests(ServiceTests):
    timeout = 240

    def setUp(self) -> None:
        super().setUp()
        # here everything is at loopback addresses
        self.patch(proxies, "is_local_only", lambda endpoint: False)
        self.proxy = FakeProxyFactory()
        port = reactor.listenTCP(0, self.proxy, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.text = f"http://127.0.0.1:{port.getHost().port}"

    def proxied(self, seed: int, **settings: Any) -> tuple[CrustService, Receiver]:
        return self.start(seed, **{"proxy": Proxy.from_text(self.text), **settings})

    async def problem(self, one: CrustService, endpoint: Endpoint) -> str:
        with self.assertRaises(ConnectFailed) as raised:
            await one.connect((endpoint,), name(2), b"", OURSELVES)
        return str(raised.exception)

    async def test_link_through_a_proxy_is_with_the_peer_itself(self) -> None:
        two, theirs = self.start(2)
        one, _ = self.proxied(1)
        (there,) = two.endpoints
        link = await one.connect((there,), name(2), b"", OURSELVES)
        self.assertEqual((link.peer, link.direction), (name(2), Direction.CONNECTED))
        self.assertEqual(link.connection.peer, there)
        self.assertEqual(self.proxy.asked, [str(there)])
        await theirs.next("accept")
        self.assertIn(self.text, one.history.of(name(2)).outcomes[-1].text)

    async def test_frames_go_both_ways(self) -> None:
        two, theirs = self.start(2)
        one, ours = self.proxied(1)
        link = await one.connect(two.endpoints, name(2), b"", OURSELVES)
        (other,) = await theirs.next("accept")
        link.send(KIND, b"x" * 1000)
        _, kind, payload = await theirs.next("message")
        self.assertEqual((kind, len(payload)), (KIND, 1000))
        other.send(KIND, b"back")
        self.assertEqual((await ours.next("message"))[1:], (KIND, b"back"))

    async def test_refusal_is_told_with_the_proxys_words(self) -> None:
        one, _ = self.proxied(1)
        self.proxy.answer = b"HTTP/1.1 403 Forbidden by policy\r\n\r\n"
        text = await self.problem(one, Endpoint("8.8.8.8", 5483))
        self.assertIn(f"the proxy {self.text} refuses: 403 Forbidden by policy", text)

    async def test_proxy_that_hangs_up_or_is_not_there_is_told_of(self) -> None:
        one, _ = self.proxied(1)
        self.proxy.answer = b""
        self.assertIn("without an answer", await self.problem(one, Endpoint("8.8.8.8", 5483)))
        gone = self.closed_port()
        two, _ = self.proxied(3, proxy=Proxy.from_text(f"http://{gone}"))
        text = await self.problem(two, Endpoint("8.8.8.8", 5483))
        self.assertIn(f"the proxy http://{gone} cannot be reached: connection refused", text)

    async def test_host_names_are_left_to_the_proxy(self) -> None:
        two, _ = self.start(2)
        (there,) = two.endpoints
        self.proxy.hosts["home.example.org"] = there.host
        named = NamedContact("home.example.org", there.port, name(2))
        one, events = self.proxied(1, contacts=(named,))
        one.bootstrap()
        (link,) = await events.next("connect")
        self.assertEqual(link.peer, name(2))
        self.assertEqual(self.proxy.asked, [f"home.example.org:{there.port}"])
        one.remember(Contact(link.connection.peer, link.peer))
        self.assertEqual(one._bootstrapper.contacts.named, (named,))

    async def test_no_way_is_punched_through_a_proxy(self) -> None:
        two, _ = self.start(2)
        one, _ = self.proxied(1)
        await one.connect(two.endpoints, name(2), b"token", OURSELVES, Rendezvous(True, 0.0))
        self.assertEqual(self.proxy.asked, [str(two.endpoints[0])])

    async def test_stopping_calls_off_what_waits_for_the_proxy(self) -> None:
        """Trial finds what is left in the reactor."""
        silent = self.silent_port()
        one, _ = self.proxied(1, proxy=Proxy.from_text(f"http://{silent}"))
        waiting = one.connect((Endpoint("8.8.8.8", 5483),), name(2), b"", OURSELVES)
        waiting.addErrback(lambda _: None)
        await one.stop()

    def test_environment_that_cannot_be_used_keeps_a_node_from_starting(self) -> None:
        self.patch(os, "environ", {"ALL_PROXY": "x://"})
        with self.assertRaisesRegex(ConfigurationError, "ALL_PROXY"):
            self.crust(1, proxy=Proxy.from_text("environment"))
