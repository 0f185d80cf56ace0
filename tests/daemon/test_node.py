"""
The service that twistd runs, for real and in this process: folders, keys, sockets and ports.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.trial.unittest import TestCase

from routing_crust.config import Role, Settings
from routing_crust.daemon import node
from routing_crust.daemon.control.member_messages import MembersCommand, MembersReply
from routing_crust.daemon.node import CannotStart, NodeService
from routing_crust.daemon.state_directory import StateLock
from routing_crust.endpoints import Endpoint
from routing_crust.forwarding_rules import Exposure, Forward
from routing_crust.identity import Identity, create_identity, load_identity
from routing_crust.routing.service import RoutingService
from routing_crust.routing.state import State
from routing_crust.trust.certificate import MemberRole
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.state_files import save_certificate

from .fakes import ALICE, temporary_directory


class NodeServiceTests(TestCase):
    """A first node on loopback, alone."""

    def setUp(self) -> None:
        self.folder = temporary_directory(self)
        self.lines: list[str] = []
        observer = LogPublisher(lambda event: self.lines.append(formatEvent(event)))
        self.patch(NodeService, "log", Logger(observer=observer))

    def service(self, port: int = 0, **settings: Any) -> NodeService:
        given = {"role": Role.FIRST, "lan_discovery": False, **settings}
        listen = (Endpoint("127.0.0.1", port),)
        return NodeService(Settings(listen=listen, state_dir=self.folder, **given), self.folder, reactor)

    def cannot_start(self, service: NodeService) -> str:
        error = self.assertRaises(CannotStart, service.startService)
        self.assertEqual(error.code, 1)
        self.assertEqual(self.lines, [f"cannot start: {error}"])
        self.assertFalse(service.running)
        return str(error)

    def test_making_one_does_nothing(self) -> None:
        self.folder.rmdir()
        service = self.service()
        self.assertTrue(IService.providedBy(service))
        self.assertFalse(self.folder.exists())
        self.folder.mkdir()
        self.assertIsNone(self.successResultOf(service.stopService()))

    async def test_service_starts_and_stops_everything(self) -> None:
        service = self.service()
        service.startService()
        assert service.routing is not None
        self.assertTrue({"lock", "key.pem", "control.sock"} <= set(os.listdir(self.folder)))
        self.assertEqual(load_identity(self.folder / "key.pem").name, service.routing.node_name)
        await service.stopService()
        left = set(os.listdir(self.folder))
        self.assertIn("key.pem", left)
        self.assertEqual(left & {"lock", "control.sock"}, set())
        self.assertEqual(self.lines, ["stopping", "stopped"])
        StateLock(self.folder).release()

    async def test_the_key_is_kept_from_start_to_start(self) -> None:
        service = self.service()
        names = []
        for _ in range(2):
            service.startService()
            assert service.routing is not None
            names.append(service.routing.node_name)
            await service.stopService()
        self.assertEqual(names[0], names[1])

    async def test_daemon_of_a_private_network_has_its_certificate_and_lists_the_members(self) -> None:
        issuer = Issuer(Identity.generate())
        identity = create_identity(self.folder / "key.pem")
        save_certificate(
            self.folder, issuer.issue(identity.name, "home", MemberRole.ADMIN.implied, time.time())
        )
        service = self.service(network=issuer.network)
        service.startService()
        self.addCleanup(service.stopService)
        assert service._control is not None
        reply = service._control.handlers[MembersCommand](MembersCommand())
        assert isinstance(reply, MembersReply)
        self.assertEqual([each["nickname"] for each in reply.members], ["home"])

    def test_private_network_without_a_good_certificate_is_not_started(self) -> None:
        issuer = Issuer(Identity.generate())
        said = self.cannot_start(self.service(network=issuer.network))
        self.assertIn(f"there is no certificate at {self.folder}/certificate", said)
        self.lines.clear()
        other = issuer.issue(ALICE, "home", MemberRole.RELAY.implied, time.time())
        save_certificate(self.folder, other)
        self.assertIn("is that of home", self.cannot_start(self.service(network=issuer.network)))

    async def test_what_the_status_says_of_the_daemon(self) -> None:
        service = self.service()
        service.startService()
        self.addCleanup(service.stopService)
        assert service.routing is not None
        assert service._control is not None
        status = service._control.status()
        self.assertEqual(status["contact"], str(service.routing.contact))
        self.assertEqual(status["process"], os.getpid())
        self.assertEqual(status["state_dir"], str(self.folder))
        self.assertEqual(status["state"], "disconnected")
        self.assertEqual(status["listeners"], 0)

    async def test_settings_expose_and_forward_while_it_runs(self) -> None:
        """Programs are exposed and ports forwarded from the start to the stop, as the status tells."""
        service = self.service(
            expose=(Exposure("ssh", "tcp:localhost:22"),), forward=(Forward("tcp:0", ALICE, "ssh"),)
        )
        service.startService()
        self.addCleanup(service.stopService)
        assert service._control is not None
        status: Any = service._control.status()
        self.assertEqual([each["protocol"] for each in status["exposed"]], ["ssh"])
        where = status["forwarded"][0]["listen"]
        await service.stopService()
        again = self.service(forward=(Forward(f"tcp:{where.rpartition(':')[2]}", ALICE, "ssh"),))
        again.startService()
        await again.stopService()

    async def test_status_page_is_there_from_the_start_to_the_stop(self) -> None:
        service = self.service()
        service._page_text = f"unix:{self.folder}/page"
        service.startService()
        self.assertTrue((self.folder / "page").exists())
        status: Any = service._status()
        self.assertEqual((status["links"], service._members()), ([], None))
        await service.stopService()
        self.assertFalse((self.folder / "page").exists())

    async def test_status_page_that_cannot_be_served_stops_the_start(self) -> None:
        service = self.service()
        service._page_text = f"unix:{self.folder}/nowhere/page"
        self.assertIn("the status page cannot be at unix:", self.cannot_start(service))
        again = self.service()
        again.startService()
        await again.stopService()

    def test_taken_port_of_a_forward_is_named(self) -> None:
        port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        forward = Forward(f"tcp:{port.getHost().port}", ALICE, "ssh")
        said = self.cannot_start(self.service(forward=(forward,)))
        self.assertIn(f"cannot listen on {forward.listen}: Address already in use: stop", said)

    def test_target_that_is_none_is_refused(self) -> None:
        said = self.cannot_start(self.service(expose=(Exposure("ssh", "what:22"),)))
        self.assertIn("expose: 'what:22' is no endpoint to connect to", said)

    async def test_a_node_can_ask_itself(self) -> None:
        service = self.service()
        service.startService()
        self.addCleanup(service.stopService)
        assert service.routing is not None
        self.assertEqual(await service.routing.request(service.routing.node_name, b"ping"), b"pong")

    def test_damaged_key_stops_the_start(self) -> None:
        path = self.folder / "key.pem"
        path.write_bytes(b"damaged")
        path.chmod(0o600)
        said = self.cannot_start(self.service())
        self.assertTrue(said.startswith(f"the key file {path} is damaged: "), said)
        self.assertEqual(path.read_bytes(), b"damaged")
        self.assertEqual(os.listdir(self.folder), ["key.pem"])

    def test_folder_that_others_may_enter_is_refused(self) -> None:
        self.folder.chmod(0o750)
        self.assertIn("so others may look into it", self.cannot_start(self.service()))

    def test_folder_that_is_in_use_is_refused(self) -> None:
        lock = StateLock(self.folder)
        self.addCleanup(lock.release)
        self.assertIn(f"another daemon, the process {os.getpid()},", self.cannot_start(self.service()))
        self.assertTrue(lock.path.exists())

    def test_folder_with_too_long_a_path_is_refused(self) -> None:
        self.folder = Path(self.folder, "x" * 100)
        self.assertIn("give a shorter folder", self.cannot_start(self.service()))

    def test_taken_port_is_named(self) -> None:
        taken = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        self.addCleanup(taken.stopListening)
        port = taken.getHost().port
        said = self.cannot_start(self.service(port))
        self.assertIn(f"127.0.0.1, port {port}", said)
        self.assertNotIn("lock", os.listdir(self.folder))

    def test_control_socket_that_cannot_be_made_stops_the_start(self) -> Deferred[None]:
        (self.folder / "control.sock").mkdir()
        made = []

        def make(*arguments: Any, **named: Any) -> RoutingService:
            made.append(RoutingService(*arguments, **named))
            return made[0]

        self.patch(node, "RoutingService", make)
        said = self.cannot_start(self.service())
        self.assertIn(f"the control socket {self.folder}/control.sock cannot be made: ", said)
        self.assertNotIn("lock", os.listdir(self.folder))
        self.assertIs(made[0].state, State.TERMINATED)
        return made[0].stopService()
