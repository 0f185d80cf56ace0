"""What the doctor finds in the files of a node, with and without its daemon."""

from __future__ import annotations

import socket

from routing_crust.config import Role, Settings
from routing_crust.daemon.checking.at_rest import MAX_LEAD_SECONDS, of_credentials, of_ports
from routing_crust.daemon.checking.checkup import FAIL, OK, SET_THE_CLOCK, WARN, Finding
from routing_crust.endpoints import Endpoint
from routing_crust.hosts.interfaces import InterfacePort
from routing_crust.identity import Identity, create_identity
from routing_crust.limits import DAY_SECONDS
from routing_crust.trust.certificate import MemberRole
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.roster import Roster
from routing_crust.trust.state_files import CERTIFICATE_FILE, ROSTER_FILE, save_certificate, save_roster

from ..test_cli import CliTestCase

NOW = 1_800_000_000.0


class CredentialsTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.identity = create_identity(self.folder / "key.pem")
        self.issuer = Issuer(Identity.generate())
        self.signed = self.issuer.issue(self.identity.name, "home", MemberRole.NODE.implied, NOW)
        save_certificate(self.folder, self.signed)

    def found(self, now: float = NOW, *, runs: bool = False) -> list[Finding]:
        return of_credentials(self.folder, self.issuer.network, now, runs)

    def save_ban(self, at: float) -> None:
        ban = self.issuer.ban(Identity.generate().name, Roster(self.issuer.network), at)
        save_roster(self.folder, Roster(self.issuer.network).adding([ban], self.identity))

    def test_open_network_has_none(self) -> None:
        self.assertEqual(of_credentials(self.folder, "default", NOW, False), [])

    def test_good_certificate_is_good(self) -> None:
        (found,) = self.found()
        self.assertEqual((found.check, found.verdict), ("certificate", OK))

    def test_certificate_that_has_expired_is_a_failure(self) -> None:
        (found,) = self.found(self.signed.certificate.not_after + 3 * DAY_SECONDS)
        self.assertEqual((found.check, found.verdict), ("certificate", FAIL))
        self.assertIn("has expired", found.text)

    def test_banned_member_is_told_so(self) -> None:
        ban = self.issuer.ban(self.identity.name, Roster(self.issuer.network), NOW)
        save_roster(self.folder, Roster(self.issuer.network).adding([ban], self.identity))
        (found,) = self.found()
        self.assertEqual(found.verdict, FAIL)
        self.assertIn("it is banned", found.text)

    def test_missing_or_foreign_certificate_is_a_failure(self) -> None:
        save_certificate(
            self.folder,
            self.issuer.issue(Identity.generate().name, "other", MemberRole.NODE.implied, NOW),
        )
        (found,) = self.found()
        self.assertEqual(found.verdict, FAIL)
        self.assertIn("the certificate", found.text)
        (self.folder / CERTIFICATE_FILE).unlink()
        (found,) = self.found()
        self.assertIn("there is no certificate", found.text)

    def test_torn_roster_is_named(self) -> None:
        self.save_ban(NOW)
        path = self.folder / ROSTER_FILE
        path.write_text(path.read_text().splitlines()[0])
        certificate, roster = self.found()
        self.assertEqual((certificate.verdict, roster.check, roster.verdict), (OK, "roster", WARN))

    def test_running_daemon_is_not_second_guessed(self) -> None:
        """It may have what is not in the files yet."""
        self.assertEqual(self.found(self.signed.certificate.not_after + 3 * DAY_SECONDS, runs=True), [])
        (self.folder / CERTIFICATE_FILE).unlink()
        self.assertEqual(self.found(runs=True), [])

    def test_missing_key_is_said_elsewhere(self) -> None:
        (self.folder / "key.pem").unlink()
        self.assertEqual(self.found(), [])

    def test_clock_before_the_certificate_is_behind(self) -> None:
        """Even where the certificate is still taken, for clocks may differ by days."""
        wrong = Finding(
            "clock",
            WARN,
            "it is 5 h 0 min behind, or more: files here were signed later than it shows",
            SET_THE_CLOCK,
        )
        self.assertEqual(self.found(NOW - 5 * 3600, runs=True), [wrong])
        self.assertEqual([each.check for each in self.found(NOW - 5 * 3600)], ["clock", "certificate"])

    def test_clock_before_a_statement_of_the_roster_is_behind(self) -> None:
        self.save_ban(NOW + DAY_SECONDS)
        (found,) = self.found(NOW + 60, runs=True)
        self.assertEqual((found.check, found.verdict), ("clock", WARN))

    def test_clock_of_an_admin_may_be_a_little_ahead(self) -> None:
        self.assertEqual(self.found(NOW - MAX_LEAD_SECONDS, runs=True), [])


class PortsTests(CliTestCase):
    def test_free_ports_are_told(self) -> None:
        here = Endpoint("127.0.0.1", 0)
        self.assertEqual(
            of_ports(Settings(listen=(here,))), [Finding("ports", OK, "127.0.0.1:0 can be listened on")]
        )

    def test_port_in_use_is_told_in_the_words_of_the_daemon(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as there:
            (found,) = of_ports(Settings(listen=(Endpoint("127.0.0.1", there.getsockname()[1]),)))
        self.assertEqual(found.verdict, WARN)
        self.assertIn("another program listens there", found.text)

    def test_nothing_is_tried_for_a_client_or_an_interface(self) -> None:
        self.assertEqual(of_ports(Settings(role=Role.CLIENT)), [])
        self.assertEqual(of_ports(Settings(listen=(InterfacePort("eth0", 5483),))), [])
