"""What forwards and exposes: listening, and the settings."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock

from routing_crust.config import Settings
from routing_crust.daemon.forward.forwarder import PortForwarder
from routing_crust.daemon.forward.registry import ForwardRegistry
from routing_crust.errors import CannotListen, ConfigurationError
from routing_crust.forwarding_rules import Exposure, Forward, Permission

from .carrying_case import CarryingCase

TAKEN = "Address already in use: stop the program that has it, or take another port"


class ListeningTests(CarryingCase):
    def test_taken_port_cannot_be_forwarded(self) -> None:
        self.port.problem = CannotListenError("", 2222, OSError(98, "Address already in use"))
        forwarder = PortForwarder(Forward("tcp:2222", self.server.node_name, "ssh"), self.port, self.client)
        failure = self.failureResultOf(self.registries[1].forward(forwarder), CannotListen)
        self.assertEqual(str(failure.value), f"cannot listen on tcp:2222: {TAKEN}")
        self.assertEqual(self.registries[1].status()["forwarded"], [])
        self.port.problem = CannotListenError("", 80, OSError(13, "Permission denied"))
        failure = self.failureResultOf(self.registries[1].forward(forwarder), CannotListen)
        self.assertIn("Permission denied: ports below 1024 need a permission", str(failure.value))
        self.port.problem = OSError("no such user")
        failure = self.failureResultOf(self.registries[1].forward(forwarder), CannotListen)
        self.assertIn("no such user", str(failure.value))

    def test_socket_that_cannot_be_made_is_not_said_to_be_a_port(self) -> None:
        self.port.problem = CannotListenError(None, "/root/s", OSError(13, "Permission denied"))
        forwarder = PortForwarder(Forward("unix:/root/s", self.server.node_name, "x"), self.port, self.client)
        failure = self.failureResultOf(self.registries[1].forward(forwarder), CannotListen)
        self.assertEqual(str(failure.value), "cannot listen on unix:/root/s: Permission denied")

    def test_forward_that_ends_before_it_listens_never_does(self) -> None:
        self.port.waiting = Deferred()
        forwarder = PortForwarder(Forward("tcp:2222", self.server.node_name, "ssh"), self.port, self.client)
        started = self.registries[1].forward(forwarder)
        self.successResultOf(self.registries[1].end(forwarder))
        self.port.waiting.callback(None)
        self.successResultOf(started)
        self.assertIsNone(self.port.factory)


class SettingsTests(CarryingCase):
    """What the settings say is begun, or said to be wrong."""

    def begin(self, **values: Any) -> ForwardRegistry:
        self.reactor = MemoryReactorClock()
        registry = ForwardRegistry(self.client, self.reactor)
        self.registries.append(registry)
        registry.start(Settings(**values))
        return registry

    def test_settings_are_exposed_and_forwarded(self) -> None:
        name = self.server.node_name
        registry = self.begin(
            expose=(
                Exposure("ssh", "tcp:localhost:22"),
                Exposure("web", "unix:/x"),
                Exposure("db", "tcp:h:1"),
            ),
            allow_peer=(Permission("ssh", name), Permission("web", name), Permission("web", None)),
            forward=(Forward("tcp:2222", name, "ssh"), Forward("tcp6:2223", name, "web")),
        )
        status: Any = registry.status()
        self.assertEqual([each["allowed"] for each in status["exposed"]], [[str(name)], ["*"], []])
        self.assertEqual(len(status["forwarded"]), 2)
        listening = [(port, interface) for port, _, _, interface in self.reactor.tcpServers]
        self.assertEqual(listening, [(2222, "127.0.0.1"), (2223, "::1")])

    def test_unusable_endpoint_stops_everything_before_it_begins(self) -> None:
        """An endpoint that cannot be read stops everything before it begins, and the setting is named."""
        name = self.server.node_name
        for setting, values in (
            ("expose", {"expose": (Exposure("ssh", "tcp:localhost"),)}),
            ("expose", {"expose": (Exposure("ssh", "nothing:1"),)}),
            ("forward", {"expose": (Exposure("a", "tcp:h:1"),), "forward": (Forward("tcp:x", name, "a"),)}),
            ("forward", {"forward": (Forward("what", name, "a"),)}),
        ):
            error = self.assertRaises(ConfigurationError, lambda values=values: self.begin(**values))
            self.assertEqual(error.setting, setting)
            self.assertEqual(self.registries[-1].status()["offered"], [])

    def test_taken_port_is_named(self) -> None:
        def taken(*arguments: object, **options: object) -> None:
            raise CannotListenError("", 2222, OSError(98, "Address already in use"))

        self.patch(MemoryReactorClock, "listenTCP", taken)
        error = self.assertRaises(
            CannotListen, lambda: self.begin(forward=(Forward("2222", self.server.node_name, "ssh"),))
        )
        self.assertEqual(str(error), f"cannot listen on 2222: {TAKEN}")
