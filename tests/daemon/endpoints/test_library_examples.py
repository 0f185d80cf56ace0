"""
The examples for libraries of others: both of their ends, by the strings of endpoints, over the network in
memory.
"""

from __future__ import annotations

import gc
from collections.abc import Coroutine
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from routing_crust.daemon.endpoints import strings
from routing_crust.streams import streams_of
from tests.routing.net import Net

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


class LibraryExampleTests(SynchronousTestCase):
    """Two nodes of this process: a program on the first serves, one on the second asks."""

    def setUp(self) -> None:
        if not EXAMPLES.is_dir():
            raise SkipTest("the examples are not here: they are not installed")
        gc.collect()  # a test before this one may have given up a network without a stop
        self.net = Net()
        self.server, self.client = self.net.grow(2)
        self.addCleanup(self.net.stop)
        self.reactor = MemoryReactorClock()
        self.printed: list[str] = []

    def example(self, name: str) -> Any:
        spec = spec_from_file_location(f"{name}_example", EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        module.print = self.print  # type: ignore[attr-defined]
        return module

    def print(self, *words: object, sep: str = " ", end: str = "\n") -> None:
        self.printed.append(sep.join(map(str, words)) + end)

    def serve(self, program: Coroutine[Any, Any, None]) -> None:
        """Run what serves until it waits for its end, which does not come."""
        self.patch(strings, "running_services", lambda: (self.server,))
        serving = Deferred.fromCoroutine(program)
        self.assertEqual(self.printed, ["serving\n"])
        self.addCleanup(self.failureResultOf, serving)
        self.addCleanup(serving.cancel)

    def ask(self, program: Coroutine[Any, Any, None]) -> str:
        """What a program prints that asks."""
        self.printed.clear()
        self.patch(strings, "running_services", lambda: (self.client,))
        self.net.result(Deferred.fromCoroutine(program))
        return "".join(self.printed)

    def test_page_is_fetched_by_its_uri(self) -> None:
        root = Resource()
        root.putChild(b"hello.txt", Data(b"hello by name\n", "text/plain"))
        site = Site(root, reactor=MemoryReactorClock())
        site.timeOut = None
        streams_of(self.server).listen("web", site)
        uri = f"http+routing://{self.server.node_name}/web/hello.txt"
        self.assertEqual(self.ask(self.example("get").main(self.reactor, uri)), "200 hello by name\n")

    def test_amp_answers_and_knows_who_asks(self) -> None:
        adding = self.example("adding")
        self.serve(adding.serve(self.reactor, "routing:adding"))
        said = self.ask(adding.ask(self.reactor, f"routing:{self.server.node_name}/adding", "3", "4"))
        self.assertEqual(said, f"7 for {self.client.node_name}\n")

    def test_perspective_broker_gives_each_guest_an_object_of_its_own(self) -> None:
        guestbook = self.example("guestbook")
        self.serve(guestbook.serve(self.reactor, "routing:guests"))
        lines = []
        for text in ("hello", "again"):
            lines.append(f"{self.client.node_name}: {text}\n")
            said = self.ask(guestbook.write(self.reactor, f"routing:{self.server.node_name}/guests", text))
            self.assertEqual(said, "".join(lines))

    def test_foolscap_finds_an_object_by_a_name(self) -> None:
        if find_spec("foolscap") is None:
            raise SkipTest("foolscap is not here: pip install routing-crust[adapters]")
        for module in ("banana", "connection", "eventual", "negotiate", "pb"):
            self.patch(import_module(f"foolscap.{module}"), "reactor", self.net.clock)
        self.patch(import_module("foolscap.eventual")._theSimpleQueue, "_timer", None)
        quotes = self.example("quotes")
        factories: list[Any] = []

        def serving_for(factory: object) -> Any:
            factories.append(made_for(factory))
            return factories[-1]

        made_for = quotes.StartsTlsFactory
        self.patch(quotes, "StartsTlsFactory", serving_for)
        self.patch(strings, "running_services", lambda: (self.server,))
        serving = Deferred.fromCoroutine(quotes.serve(self.reactor, str(self.server.node_name)))
        self.addCleanup(self.failureResultOf, serving)
        self.addCleanup(serving.cancel)
        furl = self.printed.pop().strip()
        self.assertIn(f"@routing:{self.server.node_name}:quotes/", furl)
        self.assertEqual(self.ask(quotes.ask(self.reactor, furl, "crust")), "crust: 5\n")
        self.net.settle(1.0)
        # a factory that kept its connections would grow with each
        self.assertEqual([each.protocols for each in factories], [{}])

    def test_hint_of_foolscap_that_cannot_be_one_is_refused(self) -> None:
        if find_spec("foolscap") is None:
            raise SkipTest("foolscap is not here: pip install routing-crust[adapters]")
        quotes = self.example("quotes")
        hints = quotes.RoutingHints()
        for hint in ("routing:", "routing:no name:x", f"routing:{self.server.node_name}"):
            self.assertRaises(
                quotes.InvalidHintError, hints.hint_to_endpoint, hint, self.reactor, lambda text: None
            )
