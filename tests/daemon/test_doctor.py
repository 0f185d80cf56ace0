"""
C{routing-crust doctor}: what it judges, and what it gathers.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase

from routing_crust import __version__
from routing_crust.daemon.checking import contacts
from routing_crust.daemon.checking.at_rest import of_key
from routing_crust.daemon.checking.checkup import (
    FAIL,
    OK,
    WARN,
    Finding,
    Interface,
    exit_is_good,
    finding_text,
    of_contacts,
    of_descriptors,
    of_file,
    of_interfaces,
    of_membership,
    of_status,
)
from routing_crust.daemon.checking.contacts import problem_of
from routing_crust.daemon.commands import doctor
from routing_crust.daemon.control.inbox import DaemonInbox
from routing_crust.daemon.control.server import ControlServer
from routing_crust.endpoints import Endpoint
from routing_crust.identity import Identity, create_identity, load_identity
from routing_crust.limits import DAY_SECONDS
from routing_crust.testing.memory.name_servers import SERVER, MemoryNameServers
from routing_crust.trust.certificate import MemberRole
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.networks import network_of
from routing_crust.trust.state_files import save_certificate

from .fakes import FakeService, temporary_directory
from .test_cli import CliTestCase

WELL: dict[str, Any] = {
    "version": "1",
    "network": "lab",
    "role": "node",
    "state": "connected",
    "group_connected": True,
    "endpoints": ["192.0.2.1:5483"],
    "external": [{"endpoint": "[2001:db8::1]:5483", "source": "interface"}],
    "mapped_ports": [],
    "path_mtu": [],
    "uplinks": [],
    "dialable": "yes",
    "nat": "open",
    "links": [{"rung": "direct"}, {"rung": "tunnel"}],
}
UNKNOWN = "not known: it takes peers in other networks to find out"


class JudgingTests(SynchronousTestCase):
    def verdict(self, check: str, **other: object) -> tuple[str, str]:
        (found,) = (each for each in of_status({**WELL, **other}, "1") if each.check == check)
        # whatever is not well has something to do
        self.assertEqual(found.verdict == OK or bool(found.advice), True, found)
        return found.verdict, found.text

    def test_node_that_is_well_has_no_findings(self) -> None:
        self.assertEqual([each for each in of_status(WELL, "1") if each.verdict != OK], [])

    def test_each_thing_that_is_wrong_is_found(self) -> None:
        for check, other, verdict, said in (
            (
                "path MTU",
                {"path_mtu": [{"host": "192.0.2.9", "segment_bytes": 1200}]},
                WARN,
                "large packets get lost without a word; segments are kept small to 192.0.2.9 (1200 bytes)",
            ),
            (
                "uplinks",
                {"uplinks": ["wlan0"]},
                WARN,
                "peers answer by wlan0, and not by the interface that the system prefers",
            ),
            ("version", {"version": "0"}, WARN, "the daemon runs 0, and 1 is installed"),
            ("network", {"group_connected": False}, WARN, "links with some neighbours are missing"),
            ("network", {"state": "bootstrapping"}, FAIL, "no way into it: bootstrapping"),
            ("network", {"state": "disconnected", "no_way_in": "refused"}, FAIL, "no way into it: refused"),
            ("network", {"state": "disconnected", "role": "first"}, OK, "waiting for the first peer"),
            (
                "network",
                {"state": "disconnected", "role": "first", "membership": {"until": "Monday"}},
                OK,
                "waiting for the first peer",
            ),
            ("network", {"role": "client", "group_connected": False}, OK, "connected to lab"),
            ("listening", {"endpoints": []}, FAIL, "nowhere"),
            ("listening", {"endpoints": [], "role": "client"}, OK, "no, since it is a client"),
            ("dialable", {"dialable": "no"}, WARN, "peers could not dial us from outside"),
            (
                "dialable",
                {"dialable": "unknown"},
                OK,
                "not known: it takes peers in other networks to find out",
            ),
            (
                "router",
                {
                    "external": [{"endpoint": "9.9.9.9:1", "source": "mapped"}],
                    "mapped_ports": ["port 1: ..."],
                },
                OK,
                "it maps a port for us: port 1: ...",
            ),
            ("router", {"mapped_ports": ["port 1: the router does not"]}, OK, "port 1: the router does not"),
            ("NAT", {"nat": "symmetric"}, WARN, "symmetric"),
            ("IPv6", {"external": []}, OK, "this host has no global address that the node listens on"),
            ("links", {"links": [{"rung": "tunnel"}]}, WARN, "all 1 are relayed"),
            ("links", {"links": []}, OK, "0, 0 of them relayed"),
            ("clock", {"clock_offset_seconds": 40.0}, WARN, "the network's time is 40 s ahead of ours"),
            ("clock", {"clock_offset_seconds": -40.0}, WARN, "the network's time is 40 s behind ours"),
            (
                "clock",
                {"clock_offset_seconds": 3.5 * DAY_SECONDS},
                WARN,
                "the network's time is 3 d 12 h ahead of ours",
            ),
            (
                "clock",
                {"membership": {"problem_kind": "not_yet"}},
                WARN,
                "by this clock the certificate of this node is not valid yet",
            ),
            ("clock", {"clock_offset_seconds": 9.0}, OK, "it agrees with that of the peers"),
            ("clock", {}, OK, "not known: there is no peer to compare it with"),
        ):
            self.assertEqual(self.verdict(check, **other), (verdict, said))

    def test_first_node_is_told_how_others_get_in(self) -> None:
        alone = {**WELL, "state": "disconnected", "role": "first"}
        for status, command in ((alone, "status"), ({**alone, "membership": {"until": "Monday"}}, "invite")):
            (found,) = (each for each in of_status(status, "1") if each.check == "network")
            self.assertIn(f"'routing-crust {command}", found.advice)

    def test_path_mtu_is_told_by_size(self) -> None:
        def told(paths: dict[str, int]) -> tuple[str, str]:
            (found,) = (each for each in of_status(WELL, "1", paths) if each.check == "path MTU")
            return found.verdict, found.text

        self.assertEqual(
            told({"192.0.2.1": 1500, "192.0.2.2": 1400, "192.0.2.3": 1500}),
            (OK, "1400 bytes to 192.0.2.2, 1500 bytes to 192.0.2.1, 192.0.2.3"),
        )
        many = {f"192.0.2.{each}": 1500 for each in range(9)}
        self.assertEqual(told(many), (OK, "1500 bytes to 192.0.2.0, 192.0.2.1, 192.0.2.2 and 6 more"))
        self.assertEqual(told({"192.0.2.1": 576}), (WARN, "576 bytes to 192.0.2.1"))

    def test_daemon_of_another_version_may_leave_things_out(self) -> None:
        self.assertEqual({each.verdict for each in of_status({}, "1")}, {OK, WARN, FAIL})

    def test_certificate_is_judged_as_the_daemon_judges_it(self) -> None:
        for other, verdict, said in (
            ({}, OK, "it is good until Monday"),
            ({"ends_soon": True}, WARN, "it ends in 3 days, and was not renewed"),
            ({"ends_soon": True, "problem": "it has ended"}, FAIL, "it has ended"),
        ):
            membership = {"until": "Monday", "seconds_left": 3 * DAY_SECONDS, "problem": "", **other}
            found = of_membership(membership)
            self.assertEqual((found.verdict, found.text), (verdict, said))
            self.assertEqual(bool(found.advice), verdict != OK)

    def test_certificate_out_of_time_may_be_the_fault_of_the_clock(self) -> None:
        for kind, asked in (("expired", True), ("not_yet", True), ("banned", False)):
            found = of_membership({"problem": "it cannot be used", "problem_kind": kind})
            self.assertEqual("whether the clock of this host is right" in found.advice, asked, kind)

    def test_interfaces_without_multicast_or_with_a_small_mtu_are_named(self) -> None:
        good, small = Interface("eth0", True, 1500), Interface("tun0", False, 1200)
        self.assertEqual([each.verdict for each in of_interfaces([good])], [OK, OK])
        self.assertEqual([each.verdict for each in of_interfaces([good, small])], [OK, WARN])
        multicast, mtu = of_interfaces([small])
        self.assertEqual((multicast.verdict, mtu.text), (WARN, "tun0 has 1200 bytes"))
        self.assertEqual(of_interfaces([])[0].verdict, WARN)

    def test_descriptors_are_counted(self) -> None:
        self.assertEqual([of_descriptors(each).verdict for each in (256, 4096)], [WARN, OK])

    def test_contact_that_does_not_answer_is_no_failure_of_this_node(self) -> None:
        found = of_contacts([("a:1", ""), ("b:2", "refused")])
        said = [(each.verdict, each.text) for each in found]
        self.assertEqual(said, [(OK, "a:1 answers"), (WARN, "b:2: refused")])

    def test_only_failures_make_the_exit_code(self) -> None:
        self.assertTrue(exit_is_good([Finding("x", OK, ""), Finding("x", WARN, "")]))
        self.assertFalse(exit_is_good([Finding("x", OK, ""), Finding("x", FAIL, "")]))

    def test_line_has_verdict_check_text_and_advice(self) -> None:
        self.assertEqual(finding_text(Finding("NAT", OK, "open")), "ok   NAT:             open")
        self.assertEqual(
            finding_text(Finding("NAT", WARN, "bad", "mend it")), "warn NAT:             bad -> mend it"
        )


class FilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = temporary_directory(self)
        self.key = self.folder / "key.pem"

    def test_files_that_others_may_read_are_failures_with_the_command_that_helps(self) -> None:
        self.assertEqual(of_file("state directory", self.folder, os.geteuid()).verdict, OK)
        create_identity(self.key)
        self.assertEqual(of_key(self.folder, os.geteuid()).verdict, OK)
        self.key.chmod(0o640)
        found = of_key(self.folder, os.geteuid())
        self.assertEqual((found.verdict, found.advice), (FAIL, f"run 'chmod 600 {self.key}'"))

    def test_files_of_another_user_are_failures(self) -> None:
        found = of_file("state directory", self.folder, os.geteuid() + 1)
        self.assertEqual((found.verdict, "another user's" in found.text), (FAIL, True))
        found = of_file("state directory", self.folder, 0)
        self.assertEqual(found.verdict, OK, "root may look at anybody's")

    def failure_of_key(self) -> str:
        found = of_key(self.folder, os.geteuid())
        self.assertEqual(found.verdict, FAIL)
        return found.text

    def test_key_that_is_damaged_or_gone_is_a_failure_with_what_helps(self) -> None:
        self.assertIn("there is no key file", self.failure_of_key())
        self.assertIn("start the daemon once", self.failure_of_key())
        self.key.touch(0o600)
        self.assertIn("is damaged", self.failure_of_key())
        self.assertIn("start under a new name", self.failure_of_key())
        # a new key would be no help to a member
        (self.folder / "certificate").touch()
        self.assertIn("is damaged", self.failure_of_key())
        self.assertIn("have this machine invited again", self.failure_of_key())
        self.key.unlink()
        self.assertIn("restore it from a copy, or have this machine invited", self.failure_of_key())


class DoctorTests(CliTestCase):
    """The command, against a daemon in this process."""

    def setUp(self) -> None:
        super().setUp()
        create_identity(self.folder / "key.pem")
        self.facts: dict[str, object] = {**WELL, "version": __version__, "process": os.getpid()}

    def serve(self) -> ControlServer:
        server = ControlServer(FakeService(), DaemonInbox(), lambda: self.facts)  # type: ignore[arg-type]
        server.listen(self.folder / "control.sock", reactor)
        self.addCleanup(server.stop, reactor)
        return server

    async def doctor(self, *arguments: str) -> tuple[int, list[dict[str, str]]]:
        code = await deferToThread(self.run_script, *self.here("doctor", "--json", *arguments))
        return code, json.loads(self.out.getvalue())

    async def test_node_that_is_well_exits_with_0(self) -> None:
        self.serve()
        code, found = await self.doctor()
        self.assertEqual((code, [each for each in found if each["verdict"] == FAIL]), (0, []))
        self.assertIn(
            {"check": "daemon", "verdict": OK, "text": f"process {os.getpid()}", "advice": ""}, found
        )
        self.assertIn("descriptors", [each["check"] for each in found])

    async def test_lines_are_for_people_without_json(self) -> None:
        self.serve()
        self.assertEqual(await deferToThread(self.run_script, *self.here("doctor")), 0)
        self.assertIn("ok   network:         connected to lab\n", self.out.getvalue())

    async def test_missing_daemon_is_a_failure(self) -> None:
        code, found = await self.doctor()
        (daemon,) = (each for each in found if each["check"] == "daemon")
        self.assertEqual((code, daemon["verdict"]), (1, FAIL))
        self.assertIn("start one with", daemon["text"])

    async def test_contacts_of_the_settings_file_are_dialled(self) -> None:
        self.serve()
        with socket.create_server(("127.0.0.1", 0)) as there:
            good = f"127.0.0.1:{there.getsockname()[1]}"
            with socket.create_server(("127.0.0.1", 0)) as gone:
                bad = f"127.0.0.1:{gone.getsockname()[1]}"
            (self.folder / "config.toml").write_text(f'contacts = ["{good}", "{bad}"]\n')
            code, found = await self.doctor()
        self.assertEqual(code, 0)
        texts = [each["text"] for each in found if each["check"] == "contact"]
        self.assertEqual(texts, [f"{good} answers", f"{bad}: Connection refused"])

    async def test_certificate_and_ports_are_looked_at_without_a_daemon(self) -> None:
        network = network_of(Identity.generate().name)
        (self.folder / "config.toml").write_text(f'network = "{network}"\nlisten = ["127.0.0.1:0"]\n')
        code, found = await self.doctor()
        by_check = {each["check"]: each for each in found}
        self.assertEqual((code, by_check["certificate"]["verdict"]), (1, FAIL))
        self.assertEqual(by_check["ports"]["text"], "127.0.0.1:0 can be listened on")

    async def test_ports_of_a_running_daemon_are_not_tried(self) -> None:
        (self.folder / "config.toml").write_text('listen = ["127.0.0.1:0"]\n')
        self.serve()
        _, found = await self.doctor()
        self.assertNotIn("ports", {each["check"] for each in found})

    async def test_clock_that_the_files_prove_wrong_is_not_called_right(self) -> None:
        authority, identity = Issuer(Identity.generate()), load_identity(self.folder / "key.pem")
        ahead = time.time() + 2 * DAY_SECONDS
        signed = authority.issue(identity.name, "home", MemberRole.NODE.implied, ahead)
        save_certificate(self.folder, signed)
        (self.folder / "config.toml").write_text(f'network = "{authority.network}"\n')
        self.facts["clock_offset_seconds"] = 0.0
        self.serve()
        _, found = await self.doctor()
        (clock,) = (each for each in found if each["check"] == "clock")
        self.assertEqual(clock["verdict"], WARN)
        self.assertIn("behind", clock["text"])

    async def test_path_mtu_of_direct_links_is_told(self) -> None:
        self.facts["links"] = [
            {"rung": "direct", "address": "127.0.0.1:5483"},
            {"rung": "tunnel", "address": "relay:5483"},
        ]
        self.patch(doctor, "path_mtus", lambda hosts: dict.fromkeys(hosts, 1500))
        self.serve()
        _, found = await self.doctor()
        (mtu,) = (each for each in found if each["check"] == "path MTU")
        self.assertEqual(mtu["text"], "1500 bytes to 127.0.0.1")

    async def test_settings_file_that_cannot_be_used_is_one_finding_among_the_others(self) -> None:
        self.serve()
        (self.folder / "config.toml").write_text("max_links = 0\n")
        code, found = await self.doctor()
        (settings,) = (each for each in found if each["check"] == "settings")
        self.assertEqual((code, settings["verdict"]), (1, FAIL))
        self.assertIn("max_links: 0 is out of range", settings["text"])
        self.assertIn("key file", [each["check"] for each in found])

    async def test_certificate_of_a_private_network_is_looked_at(self) -> None:
        self.facts["membership"] = {"until": "Monday", "seconds_left": -1, "problem": "it has ended"}
        self.serve()
        code, found = await self.doctor()
        (certificate,) = (each for each in found if each["check"] == "certificate")
        self.assertEqual((code, certificate["verdict"]), (1, FAIL))

    def test_interfaces_are_read_as_linux_shows_them(self) -> None:
        folder = self.folder / "net"
        for name, flags, mtu in (
            ("eth0", "0x1003", "1500"),
            ("lo", "0x9", "65536"),
            ("down", "0x1002", "1500"),
            ("tun0", "0x1", "1200"),
            ("bonding_masters", "", ""),
        ):
            (folder / name).mkdir(parents=True)
            (folder / name / "flags").write_text(flags)
            (folder / name / "mtu").write_text(mtu)
        found = list(doctor.interfaces_in(folder))
        self.assertEqual(found, [Interface("eth0", True, 1500), Interface("tun0", False, 1200)])
        self.assertEqual(list(doctor.interfaces_in(folder / "nowhere")), [])

    def test_contact_that_does_not_answer_has_the_time_in_its_problem(self) -> None:
        def silent(address: object, timeout: float) -> None:
            raise TimeoutError

        self.patch(socket, "create_connection", silent)
        self.assertEqual(problem_of(Endpoint("2001:db8::1", 5483)), "no answer within 3 s")

    async def test_contact_by_name_is_shown_with_its_addresses_and_the_server(self) -> None:
        self.serve()
        names = MemoryNameServers()
        names.set("home.example.org", "127.0.0.1")
        self.patch(contacts, "Dns", lambda reactor: names)
        with socket.create_server(("127.0.0.1", 0)) as there:
            good = f"home.example.org:{there.getsockname()[1]}"
            (self.folder / "config.toml").write_text(f'contacts = ["{good}", "gone.example.org:1"]\n')
            _, found = await self.doctor()
        texts = [each["text"] for each in found if each["check"] == "contact"]
        port = good.rpartition(":")[2]
        self.assertEqual(
            texts,
            [
                f"{good} is 127.0.0.1:{port} by {SERVER} answers",
                f"gone.example.org:1: gone.example.org: {SERVER} does not know this name",
            ],
        )
