"""What systemd is told of a node, and when."""

from __future__ import annotations

import socket
import time
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Role, Settings
from routing_crust.daemon.systemd.notify import Notifier
from routing_crust.daemon.systemd.supervision import Supervision, Systemd
from routing_crust.endpoints import Endpoint, PathKind
from routing_crust.errors import ConfigurationError
from routing_crust.names import Name
from routing_crust.routing.events import LinkChanged, LinkGained, LinkLost, StateChanged
from routing_crust.routing.state import State

from ..fakes import BOB, CAROL, IDENTITIES, FakeService


class Supervisor(Notifier):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__("/nowhere")
        self.told: list[tuple[str, ...]] = []

    def tell(self, *lines: str) -> None:
        self.told.append(lines)

    def take(self) -> list[tuple[str, ...]]:
        told, self.told = self.told, []
        return told


def link(name: Name, kind: PathKind = PathKind.DIRECT) -> Any:
    return SimpleNamespace(name=name, path_kind=kind)


class SupervisionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.begin(Settings())

    def begin(self, settings: Settings, watchdog: float | None = None) -> None:
        self.service: Any = FakeService(settings)
        self.supervisor = Supervisor()
        self.supervision = Supervision(self.service, self.supervisor, watchdog)

    def happens(self, *events: object, seconds: float = 1.0) -> list[tuple[str, ...]]:
        for each in events:
            self.service.observers.tell(each)
        self.service.clock.advance(seconds)
        return self.supervisor.take()

    def test_readiness_is_told_in_the_first_turn_of_the_reactor(self) -> None:
        self.assertEqual(self.supervisor.take(), [])
        self.assertEqual(self.happens(seconds=0), [("READY=1", "STATUS=disconnected, 0 links")])

    def test_first_node_says_that_it_waits(self) -> None:
        self.begin(Settings(role=Role.FIRST))
        self.assertEqual(self.happens(seconds=0), [("READY=1", "STATUS=waiting for the first peer")])

    def test_state_and_links_are_told_once_a_second_at_most(self) -> None:
        self.happens()
        self.service.state = State.CONNECTED
        changes = (StateChanged(State.BOOTSTRAPPING, State.CONNECTED), LinkGained(link(BOB)))
        self.assertEqual(self.happens(*changes, LinkGained(link(BOB))), [("STATUS=connected, 1 link",)])
        relayed = link(CAROL, PathKind.TUNNEL)
        self.assertEqual(
            self.happens(LinkGained(relayed)), [("STATUS=connected, 2 links, 1 of them relayed",)]
        )
        self.assertEqual(self.happens(LinkChanged(relayed, link(CAROL))), [("STATUS=connected, 2 links",)])
        lost = LinkLost(link(BOB), None, "")  # type: ignore[arg-type]
        self.assertEqual(self.happens(lost), [("STATUS=connected, 1 link",)])
        self.assertEqual(self.happens(lost), [], "told although nothing is new")

    def test_watchdog_hears_from_the_reactor_at_half_the_interval(self) -> None:
        self.begin(Settings(), 10.0)
        self.assertEqual(self.happens(seconds=0)[0], ("WATCHDOG=1",))
        self.assertEqual(self.happens(seconds=4.9), [])
        self.assertEqual(self.happens(seconds=0.1), [("WATCHDOG=1",)])
        self.supervision.stopping()
        self.assertEqual(self.supervisor.take(), [("STOPPING=1", "STATUS=stopping")])
        self.assertEqual(self.happens(seconds=5), [("WATCHDOG=1",)], "a long stop would be taken for a hang")
        self.supervision.stop()
        self.assertEqual(self.happens(seconds=60), [])

    def test_reload_is_told_with_its_moment_and_its_end(self) -> None:
        self.happens(seconds=0)
        before = time.monotonic_ns() // 1000
        self.supervision.reloading()
        ((told, moment),) = self.supervisor.take()
        self.assertEqual(told, "RELOADING=1")
        name, _, microseconds = moment.partition("=")
        self.assertEqual(name, "MONOTONIC_USEC")
        self.assertTrue(before <= int(microseconds) <= time.monotonic_ns() // 1000, moment)
        self.supervision.reloaded()
        self.assertEqual(self.supervisor.take(), [("READY=1",)])

    def test_stopping_daemon_does_not_say_that_it_is_ready_again(self) -> None:
        self.happens(seconds=0)
        self.supervision.reloading()
        self.supervision.stopping()
        self.supervisor.take()
        self.supervision.reloaded()
        self.supervision.reloading()
        self.assertEqual(self.supervisor.take(), [])

    def test_nothing_is_left_after_a_stop(self) -> None:
        self.begin(Settings(), 10.0)
        self.supervision.stop()
        self.supervision.stop()
        self.assertEqual(self.happens(StateChanged(State.CONNECTED, State.TERMINATED)), [])
        self.assertEqual(self.service.clock.getDelayedCalls(), [])


class SystemdTests(SynchronousTestCase):
    """What the environment of a process says."""

    def test_process_that_systemd_did_not_start_has_nothing(self) -> None:
        systemd = Systemd.from_environment({}, 7)
        settings = Settings()
        self.assertEqual(systemd, Systemd())
        self.assertIs(systemd.settings_of(settings), settings)
        self.assertIsNone(systemd.crust_of(settings, IDENTITIES[0], None, None))
        self.assertIsNone(systemd.supervise(FakeService()))  # type: ignore[arg-type]

    def test_given_sockets_take_the_place_of_listen(self) -> None:
        where = Endpoint("127.0.0.1", 5483)
        systemd = Systemd(sockets={where: socket.socket()})
        self.addCleanup(systemd.sockets[where].close)
        self.assertEqual(systemd.settings_of(Settings()).listen, (where,))
        error = self.assertRaises(ConfigurationError, systemd.settings_of, Settings(role=Role.CLIENT))
        self.assertIn("stop the socket unit", str(error))
