"""
HTTP by name: what a URI stands for, what is refused, and pages, redirects and cookies over the network in
memory.
"""

from __future__ import annotations

import gc
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from twisted.web.client import HTTPConnectionPool, RedirectAgent, readBody
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgent
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from twisted.web.util import Redirect
from zope.interface.verify import verifyObject

from routing_crust.daemon.endpoints import agent, strings
from routing_crust.daemon.endpoints.agent import RoutingAgent, plain_uri
from routing_crust.streams import StreamRefused, streams_of
from tests.routing.net import Net


class UriTests(SynchronousTestCase):
    def test_path_and_query_are_those_of_the_server(self) -> None:
        for uri, plain in (
            (b"http+routing://laptop/web/a/b?c=d", b"http://web.laptop.crust/a/b?c=d"),
            (b"HTTP+Routing://my.laptop/web", b"http://web.my.laptop.crust/"),
            (b"http+routing://laptop/web?c", b"http://web.laptop.crust/?c"),
            (b"http+routing://laptop/web/", b"http://web.laptop.crust/"),
            (b"http://web.laptop.crust/a", b"http://web.laptop.crust/a"),
        ):
            self.assertEqual(plain_uri(uri), plain)

    def test_what_is_not_of_the_network_is_refused_and_told_what_to_write(self) -> None:
        """Nothing is looked up; a redirect cannot choose the control socket by the name of its host."""
        reactor = MemoryReactorClock()
        agent = RoutingAgent(reactor)
        verifyObject(IAgent, agent)
        for uri, text in (
            (b"http://example.org/", "'example.org' is not of this network: write http"),
            (b"http://laptop.crust/", "is not of this network"),
            (b"http://169.254.169.254/latest", "is not of this network"),
            (b"http://web.x:socket=y.crust/", "is not of this network"),
            (b"https://web.laptop.crust/", "links are encrypted already"),
            (b"http+routing://laptop", "write http"),
            (b"http+routing:///web/", "write http"),
            (b"http+routing://laptop/a.b/", "a protocol with a dot"),
            (b"http+routing://laptop:socket=y/web/", "write http"),
            (b"http://web." + b"x" * 60 + b".crust/", "is not a name"),
        ):
            failure = self.failureResultOf(agent.request(b"GET", uri), SchemeNotSupported)
            self.assertIn(text, str(failure.value))
        self.assertEqual((reactor.tcpClients, reactor.unixClients), ([], []))


class Hello(Resource):
    """Says by which host and by whom it was asked, and what cookies came."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        request.addCookie("seen", "yes")
        words = (request.getHeader(b"host"), request.uri, request.getHeader(b"cookie"))
        asker = request.transport.getPeer().name  # type: ignore[union-attr]
        return b"%b %b %b " % tuple(each or b"-" for each in words) + str(asker).encode()


class InMemoryTests(SynchronousTestCase):
    """Two nodes of this process: the first serves, the second asks."""

    def setUp(self) -> None:
        gc.collect()  # a test before this one may have given up a network without a stop
        self.net = Net()
        self.server, self.client = self.net.grow(2)
        self.addCleanup(self.net.stop)
        self.patch(strings, "running_services", lambda: (self.client,))
        self.reactor = MemoryReactorClock()
        self.opened: list[str] = []
        self.patch(agent, "clientFromString", self.client_from_string(agent.clientFromString))
        root = Resource()
        root.putChild(b"hello", Hello())
        root.putChild(b"old", Redirect(b"/hello"))
        root.putChild(b"away", Redirect(b"http://example.org/"))
        self.serve("web", root)
        self.serve("other", Hello())
        self.host = f"web.{self.server.node_name}.crust"
        self.base = f"http+routing://{self.server.node_name}/web"

    def client_from_string(self, made: Any) -> Any:
        def make(reactor: Any, text: str) -> Any:
            self.opened.append(text)
            return made(reactor, text)

        return make

    def serve(self, protocol: str, root: Resource) -> None:
        site = Site(root, reactor=MemoryReactorClock())
        site.timeOut = None
        streams_of(self.server).listen(protocol, site)

    def page(self, answered: Deferred[Any]) -> str:
        return self.net.result(self.net.result(answered).addCallback(readBody)).decode()

    def get(self, client: Any, uri: str) -> str:
        answered: Deferred[Any] = client.request(b"GET", uri.encode())
        return str(self.net.result(answered.addCallback(readBody)).decode())

    def test_page_is_fetched_by_name_and_the_server_knows_who_asks(self) -> None:
        said = self.get(RoutingAgent(self.reactor), f"{self.base}/hello?a")
        self.assertEqual(said, f"{self.host} /hello?a - {self.client.node_name}")
        self.assertEqual(self.get(RoutingAgent(self.reactor), f"http://{self.host}/hello?a"), said)

    def test_options_choose_the_node(self) -> None:
        self.get(RoutingAgent(self.reactor, "network=default"), f"{self.base}/hello")
        self.assertEqual(self.opened, [f"routing:{self.server.node_name}/web:network=default"])

    def test_redirects_are_followed_to_the_same_peer_and_to_nowhere_else(self) -> None:
        agent = RedirectAgent(RoutingAgent(self.reactor))
        self.assertIn(f"{self.host} /hello ", self.get(agent, f"{self.base}/old"))
        with self.assertRaises(SchemeNotSupported):
            self.get(agent, f"{self.base}/away")

    def test_kept_connection_serves_its_own_protocol_only(self) -> None:
        pool = HTTPConnectionPool(self.reactor)
        agent = RoutingAgent(self.reactor, pool=pool)
        for path in ("web/hello", "web/hello", "other/hello"):
            protocol = path.partition("/")[0]
            said = self.get(agent, f"http+routing://{self.server.node_name}/{path}")
            self.assertTrue(said.startswith(f"{protocol}."), said)
        self.assertEqual(streams_of(self.client).status()["open"], {str(self.server.node_name): 2})
        self.net.result(pool.closeCachedConnections())

    def test_protocol_that_is_not_offered_is_refused(self) -> None:
        answered = RoutingAgent(self.reactor).request(
            b"GET", f"http+routing://{self.server.node_name}/none/".encode()
        )
        self.assertRaises(StreamRefused, self.net.result, answered)

    def test_treq_follows_redirects_and_keeps_cookies(self) -> None:
        if find_spec("treq") is None:
            raise SkipTest("treq is not installed: it comes with the extra test")
        client = import_module("treq.client").HTTPClient(RoutingAgent(self.reactor))
        url = f"http://{self.host}"
        response = self.net.result(client.get(f"{url}/old"))
        self.assertIn(f"{self.host} /hello - ", self.net.result(response.text()))
        response = self.net.result(client.get(f"{url}/hello"))
        self.assertIn(f"{self.host} /hello seen=yes ", self.net.result(response.text()))
        response = self.net.result(client.get(f"{self.base}/old"))
        self.assertIn(f"{self.host} /hello ", self.net.result(response.text()))
