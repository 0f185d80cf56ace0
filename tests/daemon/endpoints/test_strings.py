"""
The strings of endpoints: read by Twisted, refused with what to write, and led to a node of this process.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from routing_crust import Role
from routing_crust.daemon.endpoints import strings
from routing_crust.daemon.forward.local_endpoints import on_loopback
from routing_crust.daemon.state_directory import default_state_dir
from routing_crust.errors import CannotListen, ConfigurationError, InvalidName, NotConnected
from routing_crust.forwarding_rules import Nickname
from routing_crust.routing.service import forget_running, running_services
from routing_crust.streams import (
    NodeAddress,
    RoutingClientEndpoint,
    RoutingServerEndpoint,
    StreamReason,
    StreamRefused,
)
from tests.routing.net import Net
from tests.streams.protocols import Echo, Keeping

from ..fakes import ALICE, BOB


class ReadingTests(SynchronousTestCase):
    """What can be written, and what is said of what cannot."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.private: tuple[Path, ...] = ()
        self.patch(strings, "private_networks", lambda: self.private)

    def refused(self, text: str, server: bool = False) -> str:
        read: Any = serverFromString if server else clientFromString
        return str(self.assertRaises(ValueError, read, self.reactor, text))

    def test_parsed_strings_provide_endpoint_interfaces(self) -> None:
        client = clientFromString(self.reactor, f"routing:{ALICE}/web")
        server = serverFromString(self.reactor, "routing:web")
        verifyObject(IStreamClientEndpoint, client)
        verifyObject(IStreamServerEndpoint, server)

    def test_options_choose_the_daemon(self) -> None:
        """By default the daemon of the default folder; another one by its socket, folder or network."""
        for text, path in (
            ("", default_state_dir("default") / "control.sock"),
            (":network=lab", default_state_dir("lab") / "control.sock"),
            (":socket=/run/c", Path("/run/c")),
            (":state-dir=/srv/x", Path("/srv/x/control.sock")),
        ):
            endpoint: Any = clientFromString(self.reactor, f"routing:bob/web{text}")
            self.assertEqual(endpoint._where.daemon(self.reactor).path, path)

    def test_only_private_network_of_this_user_is_found_without_a_word(self) -> None:
        self.private = (Path("/x/home/config.toml"),)
        endpoint: Any = clientFromString(self.reactor, "routing:bob/web")
        self.assertEqual(endpoint._where.daemon(self.reactor).path, Path("/x/home/control.sock"))
        self.private = (*self.private, Path("/x/work/config.toml"))
        error = self.failureResultOf(endpoint.connect(Keeping()), NotConnected).value
        self.assertIn("several private networks here (home, work)", str(error))
        self.assertIn("network=home", str(error))

    def test_time_to_wait_for_a_link_is_an_option_of_both(self) -> None:
        client: Any = clientFromString(self.reactor, "routing:bob/web:keep=1h")
        server: Any = serverFromString(self.reactor, "routing:web:keep=90")
        self.assertEqual((client._keep, server._keep), (3600.0, 90.0))
        self.assertIn("is not a time to keep", self.refused("routing:bob/web:keep=long"))

    def test_malformed_client_string_is_refused(self) -> None:
        self.assertIn("a client must know the peer", self.refused("routing:web"))
        self.assertIn("write routing:NAME/PROTOCOL", self.refused("routing"))
        self.assertIn("write routing:NAME/PROTOCOL", self.refused("routing:a/b:c"))
        self.assertIn("is not a name", self.refused("routing:b!b/web"))
        self.assertIn("cannot be the name of a protocol", self.refused("routing:bob/w b"))
        self.assertIn("allow=: there is no such option", self.refused("routing:bob/web:allow=x"))
        self.assertIn("not both", self.refused("routing:bob/web:socket=/x:state-dir=/y"))

    def test_malformed_server_string_is_refused(self) -> None:
        self.assertIn("write routing:PROTOCOL", self.refused("routing", True))
        self.assertIn("is not a name", self.refused("routing:bob/web", True))
        self.assertIn("cannot be the name of a protocol", self.refused("routing:w b", True))
        self.assertIn("is not a name", self.refused("routing:web:allow=b!b", True))
        self.assertIn("path=: there is no such option", self.refused("routing:web:path=x", True))

    def test_other_endpoints_do_not_load_this_package(self) -> None:
        """Parsing another kind of endpoint does not load this package."""
        code = (
            "import sys\n"
            "from twisted.internet.interfaces import IStreamClientEndpointStringParserWithReactor as Parser\n"
            "from twisted.plugin import getPlugins\n"
            "assert 'routing' in [each.prefix for each in getPlugins(Parser)]\n"
            "print([each for each in sys.modules if each.startswith('routing_crust')])"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, check=True, text=True, env=environment)
        self.assertEqual(done.stdout.strip(), "[]")

    def test_port_without_interface_is_on_loopback(self) -> None:
        """A TCP port without an interface is on loopback."""
        for text, found in (
            ("2222", "tcp:2222:interface=127.0.0.1"),
            ("tcp:2222", "tcp:2222:interface=127.0.0.1"),
            ("tcp:port=2222", "tcp:port=2222:interface=127.0.0.1"),
            ("tcp:2222:interface=0.0.0.0", "tcp:2222:interface=0.0.0.0"),
            ("tcp:2222:192.0.2.1", "tcp:2222:192.0.2.1"),
            ("tcp6:2222", r"tcp6:2222:interface=\:\:1"),
            ("ssl:443:privateKey=a:certKey=b", "ssl:443:privateKey=a:certKey=b:interface=127.0.0.1"),
            ("unix:/x", "unix:/x"),
        ):
            self.assertEqual(on_loopback(text), found)


class InProcessTests(SynchronousTestCase):
    """Nodes of this process, in the network in memory."""

    def setUp(self) -> None:
        gc.collect()  # a test before this one may have given up a network without a stop
        self.assertEqual(running_services(), ())
        self.net = Net()
        self.one, self.two = self.net.grow(2)
        self.reactor = MemoryReactorClock()
        self.addCleanup(self.net.stop)

    def only(self, service: Any) -> None:
        self.patch(strings, "running_services", lambda: (service,))

    def test_services_are_known_while_they_run(self) -> None:
        """Services are known from their start to their stop."""
        self.assertEqual(running_services(), (self.one, self.two))
        self.net.result(self.one.stopService())
        self.assertEqual(running_services(), (self.two,))
        forget_running(self.one)
        self.net.result(self.one.stopService())
        self.assertEqual(running_services(), (self.two,))

    def test_both_ends_know_the_proven_names(self) -> None:
        """A server string and a client string, and both ends know each other's proven names."""
        served, opened = Keeping(Echo), Keeping()
        self.only(self.one)
        listening = serverFromString(self.reactor, "routing:echo").listen(served)
        port: Any = self.successResultOf(listening)
        self.assertEqual(port.getHost(), NodeAddress(self.one.node_name, "echo"))
        self.only(self.two)
        client = clientFromString(self.reactor, f"routing:{self.one.node_name}/echo")
        mine = self.net.result(client.connect(opened))
        mine.transport.write(b"hello")
        self.net.run(lambda: mine.received == b"hello")
        self.assertEqual(mine.transport.getPeer().name, self.one.node_name)
        self.assertEqual(served.made[0].transport.getPeer().name, self.two.node_name)
        self.only(self.one)
        again = serverFromString(self.reactor, "routing:echo").listen(served)
        self.failureResultOf(again, CannotListen)
        port.stopListening()

    def test_several_nodes_make_a_choice_necessary(self) -> None:
        """With several nodes the string must say which; a server's own name does."""
        client = clientFromString(self.reactor, f"routing:{self.one.node_name}/echo")
        failure = self.failureResultOf(client.connect(Keeping()), NotConnected)
        self.assertIn("2 nodes run in this process (networks: default)", str(failure.value))
        self.failureResultOf(serverFromString(self.reactor, "routing:echo").listen(Keeping()), NotConnected)
        server = serverFromString(self.reactor, f"routing:{self.two.node_name}/echo")
        port: Any = self.successResultOf(server.listen(Keeping()))
        self.assertEqual(port.getHost().name, self.two.node_name)

    def test_network_option_chooses_the_node(self) -> None:
        other = self.net.node(role=Role.FIRST, network="lab")
        endpoint = serverFromString(self.reactor, "routing:echo:network=lab")
        port: Any = self.successResultOf(endpoint.listen(Keeping()))
        self.assertEqual(port.getHost().name, other.node_name)

    def test_only_named_peers_are_allowed(self) -> None:
        """Only who is named, if somebody is."""
        self.only(self.one)
        for protocol, allow in (("mine", ALICE), ("yours", self.two.node_name), ("both", f"{BOB}, *")):
            listening = serverFromString(self.reactor, f"routing:{protocol}:allow={allow}").listen(Keeping())
            self.successResultOf(listening)
        endpoint = RoutingClientEndpoint(self.two, str(self.one.node_name), "mine")
        refused = self.assertRaises(StreamRefused, self.net.result, endpoint.connect(Keeping()))
        self.assertIs(refused.reason, StreamReason.NOT_ALLOWED)
        for protocol in ("yours", "both"):
            self.net.result(RoutingClientEndpoint(self.two, self.one.node_name, protocol).connect(Keeping()))

    def test_nicknames_of_the_settings_are_known(self) -> None:
        """Those of the settings, at both ends."""
        nicknames = (Nickname("one", self.one.node_name),)
        three = self.net.node(nicknames=nicknames)
        self.net.until_joined()
        server = RoutingServerEndpoint(self.one, "echo", lambda name: name == three.node_name)
        self.successResultOf(server.listen(Keeping(Echo)))
        mine = self.net.result(RoutingClientEndpoint(three, "one", "echo").connect(Keeping()))
        self.assertEqual(mine.transport.getPeer().name, self.one.node_name)
        RoutingServerEndpoint(three, "echo", ["one"])
        self.assertRaises(InvalidName, RoutingClientEndpoint, three, "two", "echo")
        self.assertRaises(InvalidName, RoutingServerEndpoint, three, "echo", ["two"])
        self.assertRaises(ValueError, RoutingClientEndpoint, three, "one", "e/o")
        self.assertRaises(ValueError, RoutingServerEndpoint, three, "e/o")
        self.only(three)
        wrong = clientFromString(self.reactor, "routing:nobody/echo")
        self.failureResultOf(wrong.connect(Keeping()), InvalidName)

    def test_folder_with_too_long_a_path(self) -> None:
        self.patch(strings, "running_services", lambda: ())
        self.patch(strings, "default_state_dir", lambda network: Path("/x" * 60))
        self.failureResultOf(
            clientFromString(self.reactor, "routing:bob/web").connect(Keeping()), ConfigurationError
        )
        self.failureResultOf(
            serverFromString(self.reactor, "routing:web").listen(Keeping()), ConfigurationError
        )
