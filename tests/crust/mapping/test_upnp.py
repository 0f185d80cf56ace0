"""Asking a router over UPnP: with a library that answers as the real one does, and with real threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from random import Random
from threading import Event, current_thread
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase

from routing_crust.crust.mapping.lease import Lease, RouterProblem
from routing_crust.crust.mapping.upnp import (
    MAX_OTHER_PORTS,
    Igd,
    UpnpRouter,
    in_daemon_thread,
    load_miniupnpc,
)

from .support import GATEWAY, OTHER, lease

reactor: Any = _reactor


class FakeRouter:
    """A router and the library to ask it, as far as it is used: what the library raises is C{Exception}."""

    def __init__(self) -> None:
        self.url = "http://192.168.1.1:5000/ctl/IPConn"
        self.there = True
        self.address: str = "5.5.5.11"
        self.mappings: dict[int, tuple[str, int, str, bool, int]] = {}
        self.refuses: dict[int, str] = {}
        self.refuses_all = ""
        self.refuses_lifetimes = ""
        self.made: list[dict[str, Any]] = []
        self.added: list[tuple[Any, ...]] = []
        self.discovering: Callable[[], object] = lambda: None
        self.adding: Callable[[], object] = lambda: None

    def UPnP(self, **options: Any) -> FakeRouter:
        self.made.append(options)
        return self

    def discover(self) -> int:
        self.discovering()
        if not self.there:
            raise Exception("Success")
        return 1

    def selectigd(self) -> str:
        return self.url

    def externalipaddress(self) -> str:
        if not self.there:
            raise Exception("Miniupnpc HTTP error")
        return self.address

    def getspecificportmapping(self, port: int, protocol: str) -> tuple[str, int, str, bool, int] | None:
        assert protocol == "TCP"
        return self.mappings.get(port)

    def addportmapping(
        self, port: int, protocol: str, host: str, local: int, description: str, remote: str, seconds: int
    ) -> bool:
        self.adding()
        self.added.append((port, seconds))
        assert (protocol, remote) == ("TCP", "")
        problem = self.refuses_all or self.refuses.get(port) or (self.refuses_lifetimes if seconds else "")
        if problem:
            raise Exception(problem)
        self.mappings[port] = (host, local, description, True, seconds)
        return True

    def deleteportmapping(self, port: int, protocol: str) -> bool:
        assert protocol == "TCP"
        if port not in self.mappings:
            raise Exception("NoSuchEntryInArray")
        del self.mappings[port]
        return True


OTHERS = (7001, 7002)
OURS = (GATEWAY.local, 5483, "routing-crust", True, 7200)


class IgdTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.there = FakeRouter()
        self.igd = self.make()

    def make(self) -> Igd:
        return Igd(GATEWAY, lambda: self.there)

    def map(self, external: int = 5483) -> Lease:
        return self.igd.map(5483, (external, *OTHERS), 7200)

    def refused(self, text: str, call: Callable[[], object] | None = None) -> None:
        problem = self.assertRaises(RouterProblem, call or self.map)
        self.assertEqual(str(problem), text)

    def test_router_is_looked_for_once(self) -> None:
        self.assertEqual(self.map(), lease(way="UPnP"))
        self.assertEqual(self.there.mappings, {5483: OURS})
        self.map()
        self.assertEqual(self.there.made, [{"multicastif": GATEWAY.local, "discoverdelay": 1000}])

    def test_missing_library_is_a_router_problem(self) -> None:
        def load() -> Any:
            raise ImportError("No module named 'miniupnpc'")

        self.igd = Igd(GATEWAY, load)
        self.refused("miniupnpc is not installed: it comes with routing-crust[upnp]")

    def test_missing_router_is_looked_for_again(self) -> None:
        """The next job looks for it."""
        self.there.there = False
        self.refused("no router answers")
        self.there.there = True
        self.map()
        self.assertEqual(len(self.there.made), 2)

    def test_device_that_is_not_the_gateway_is_refused(self) -> None:
        """Any host of the network could claim to be a router."""
        for url, host in (("http://192.168.1.66:80/ctl", "192.168.1.66"), ("", "None")):
            self.there.url = url
            self.refused(f"{host} answers, which is not our gateway")
        self.assertEqual(self.there.added, [])

    def test_router_without_address_is_refused(self) -> None:
        for address, text in (
            ("", "the router has no address itself"),
            ("0.0.0.0", "the router has no IPv4 address itself"),
            ("2606:4700::1", "the router has no IPv4 address itself"),
        ):
            self.there.address = address
            self.refused(text)

    def test_taken_port_is_replaced_by_another(self) -> None:
        """No mapping of another host or program is overwritten."""
        theirs = {5483: ("192.168.1.9", 5483, "", True, 0), 6000: (GATEWAY.local, 80, "", True, 0)}
        self.there.mappings.update(theirs)
        for wanted in theirs:
            self.igd = self.make()
            mapped = self.map(wanted)
            self.assertEqual(mapped.external.port, OTHERS[0])
            self.assertEqual(self.there.mappings.pop(mapped.external.port), OURS)
        self.assertEqual(self.there.mappings, theirs)

    def test_port_that_the_router_reserves_is_taken(self) -> None:
        """It may be in use by another rule, or by the router itself."""
        for problem in ("ConflictInMappingEntry", "ConflictWithOtherMechanisms"):
            self.igd = self.make()
            self.there.refuses = {5483: problem}
            self.assertEqual(self.map().external.port, OTHERS[0])

    def test_search_for_a_free_port_is_given_up(self) -> None:
        """Nothing has to be removed then."""
        self.there.refuses_all = "ConflictInMappingEntry"
        problem = str(self.assertRaises(RouterProblem, self.map))
        self.assertEqual(problem, "the ports 5483, 7001, 7002 are all taken")
        self.assertEqual([port for port, _ in self.there.added], [5483, *OTHERS])
        self.assertFalse(self.igd.give_up())

    def test_mapping_left_by_a_killed_run_is_taken_over(self) -> None:
        self.there.mappings[5483] = OURS
        self.assertEqual(self.map().external.port, 5483)

    def test_router_without_lifetimes_gets_a_permanent_mapping(self) -> None:
        """Some such routers name the reason, others call the lifetime invalid."""
        for problem in ("OnlyPermanentLeasesSupported", "Invalid Args"):
            self.igd = self.make()
            self.there.added.clear()
            self.there.refuses_lifetimes = problem
            self.assertEqual(self.map(), lease(way="UPnP", lifetime=inf))
            self.assertEqual(self.there.added, [(5483, 7200), (5483, 0)])

    def test_refusal_is_a_router_problem(self) -> None:
        for problem in ("Action not authorized", "Invalid Args"):
            self.there.refuses_all = problem
            self.refused(f"the router said '{problem}'")
            self.assertFalse(self.igd.give_up())
            self.igd = self.make()

    def test_check_tells_whether_the_mapping_is_there(self) -> None:
        mapped = self.map()
        self.assertTrue(self.igd.holds(mapped))
        self.there.address = "5.5.5.12"
        self.assertFalse(self.igd.holds(mapped))
        self.there.address = "5.5.5.11"
        self.there.mappings[5483] = ("192.168.1.9", 5483, "", True, 0)
        self.assertFalse(self.igd.holds(mapped))
        del self.there.mappings[5483]
        self.assertFalse(self.igd.holds(mapped))

    def test_silent_router_is_looked_for_again(self) -> None:
        """It may have another address when it is back."""
        mapped = self.map()
        self.there.there = False
        self.refused("the router said 'Miniupnpc HTTP error'", lambda: self.igd.holds(mapped))
        self.there.there = True
        self.assertTrue(self.igd.holds(mapped))
        self.assertEqual(len(self.there.made), 2)

    def test_removal_leaves_no_mapping_to_give_up(self) -> None:
        self.igd.remove()
        self.map()
        self.assertTrue(self.igd.give_up())
        self.igd.remove()
        self.assertEqual(self.there.mappings, {})
        self.assertFalse(self.igd.give_up())

    def test_removing_a_mapping_that_is_gone_is_a_router_problem(self) -> None:
        self.map()
        self.there.mappings.clear()
        self.refused("the router said 'NoSuchEntryInArray'", self.igd.remove)

    def test_giving_up_during_the_search_maps_nothing(self) -> None:
        self.there.discovering = self.igd.give_up
        self.refused("it is not wanted any more")
        self.assertEqual((self.there.added, self.there.mappings), ([], {}))

    def test_giving_up_during_a_mapping_leaves_it_to_be_removed(self) -> None:
        """The router may map the port before the job has returned."""
        told: list[bool] = []
        self.there.adding = lambda: told.append(self.igd.give_up())
        self.map()
        self.assertEqual(told, [True])


class RouterTests(SynchronousTestCase):
    """The jobs are run at once, in the same thread."""

    def setUp(self) -> None:
        self.there = FakeRouter()
        self.jobs = 0
        self.router = UpnpRouter(GATEWAY, Random(1), self.run_job, lambda: self.there)

    def run_job(self, job: Callable[[], Any]) -> Deferred[Any]:
        self.jobs += 1
        try:
            return succeed(job())
        except RouterProblem as problem:
            return fail(problem)

    def test_mapping_checking_and_removing_work_in_a_thread(self) -> None:
        mapped = self.successResultOf(Deferred.fromCoroutine(self.router.map(5483, 5483, 7200)))
        self.assertEqual(mapped, lease(way="UPnP"))
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(self.router.holds(mapped))))
        self.successResultOf(Deferred.fromCoroutine(self.router.remove()))
        self.assertEqual(self.there.mappings, {})
        self.assertEqual(self.jobs, 3)

    def test_other_ports_are_drawn_in_the_reactors_thread(self) -> None:
        """They are ports that peers dial."""
        self.there.refuses_all = "ConflictInMappingEntry"
        self.failureResultOf(Deferred.fromCoroutine(self.router.map(5483, 5483, 7200)), RouterProblem)
        ports = [port for port, _ in self.there.added]
        self.assertEqual((ports[0], len(set(ports))), (5483, 1 + MAX_OTHER_PORTS))
        self.assertGreaterEqual(min(ports), 1024)

    def test_removing_nothing_starts_no_thread(self) -> None:
        self.there.there = False
        self.failureResultOf(Deferred.fromCoroutine(self.router.map(5483, 5483, 7200)), RouterProblem)
        self.successResultOf(Deferred.fromCoroutine(self.router.remove()))
        self.assertEqual(self.jobs, 1)


class ThreadTests(TestCase):
    async def test_process_ends_without_waiting_for_the_thread(self) -> None:
        self.assertTrue(await in_daemon_thread(reactor, lambda: current_thread().daemon))

    async def test_failure_in_the_thread_is_told(self) -> None:
        problem = RouterProblem("no")

        def job() -> None:
            raise problem

        with self.assertRaises(RouterProblem) as caught:
            await in_daemon_thread(reactor, job)
        self.assertIs(caught.exception, problem)

    async def test_cancelled_job_goes_on_in_its_thread(self) -> None:
        """Its result is dropped."""
        go_on, over = Event(), Deferred[None]()

        def job() -> int:
            go_on.wait()
            reactor.callFromThread(reactor.callLater, 0, over.callback, None)
            return 1

        waiting = in_daemon_thread(reactor, job)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        go_on.set()
        await over

    async def test_removal_waits_for_a_mapping_in_progress(self) -> None:
        """It waits in the thread."""
        there, go_on, adding = FakeRouter(), Event(), Deferred[None]()

        def wait() -> None:
            reactor.callFromThread(adding.callback, None)
            go_on.wait()

        there.adding = wait
        router = UpnpRouter(GATEWAY, Random(1), partial(in_daemon_thread, reactor), lambda: there)
        mapping = Deferred.fromCoroutine(router.map(5483, 5483, 7200))
        await adding
        mapping.cancel()
        self.failureResultOf(mapping, CancelledError)
        removed = Deferred.fromCoroutine(router.remove())
        self.assertNoResult(removed)
        go_on.set()
        await removed
        self.assertEqual((there.added, there.mappings), ([(5483, 7200)], {}))


class LibraryTests(SynchronousTestCase):
    def test_real_library_has_the_methods_that_are_used(self) -> None:
        """It takes the arguments that are given; skipped where it is not installed."""
        try:
            library = load_miniupnpc()
        except ImportError:
            self.skipTest("miniupnpc is not installed: it comes with the extra upnp")
        there = library.UPnP(multicastif=OTHER.local, discoverdelay=7)
        self.assertEqual((there.multicastif, there.discoverdelay), (OTHER.local, 7))
        for method in vars(FakeRouter):
            if not method.startswith("__") and method != "UPnP":
                self.assertTrue(callable(getattr(there, method)), method)
