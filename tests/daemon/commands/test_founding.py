"""
C{init}: what is in the state directory of a founder, and what is said about it.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path

from routing_crust.config import Role
from routing_crust.daemon.commands import founding
from routing_crust.daemon.members import networks_here
from routing_crust.daemon.members.starting import Starter
from routing_crust.daemon.options import Options
from routing_crust.identity import load_identity
from routing_crust.trust.certificate import Ed25519Verifier, MemberRole
from routing_crust.trust.judging import judge
from routing_crust.trust.state_files import (
    BEACON_SECRET_BYTES,
    load_authority,
    load_beacon_secret,
    load_certificate,
    load_roster,
)

from ..test_cli import CliTestCase


class InitTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        for module in (founding, networks_here):
            self.patch(module, "default_state_dir", lambda network: self.folder / network)

    def test_founder_has_all_that_its_node_needs(self) -> None:
        self.assertEqual(self.run_script("init", "home", "--nickname", "desk"), 0)
        folder = self.folder / "home"
        self.assertEqual(stat.S_IMODE(folder.stat().st_mode), 0o700)
        for path in folder.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)
        options = Options()
        options.parseOptions(["--state-dir", str(folder)])
        settings, state_dir = options.settings()
        self.assertEqual((settings.role, state_dir), (Role.FIRST, folder))
        name = load_identity(folder / "key.pem").name
        verifier = Ed25519Verifier()
        signed = load_certificate(folder, settings.network, name, verifier)
        roster, problem = load_roster(folder, settings.network, verifier)
        self.assertEqual(problem, "")
        now = signed.certificate.not_before
        self.assertIsNone(judge(signed, settings.network, name, roster, now, verifier))
        self.assertEqual(signed.certificate.nickname, "desk")
        self.assertIn(MemberRole.ADMIN, signed.certificate.roles)
        self.assertIsNotNone(load_authority(folder, settings.network))
        self.assertEqual(len(load_beacon_secret(folder)), BEACON_SECRET_BYTES)

    def test_it_says_what_to_type_next(self) -> None:
        self.assertEqual(self.run_script("init", "home"), 0)
        lines = self.out.getvalue().splitlines()
        self.assertEqual(lines[-2:], ["  twistd -n routing-node", "  routing-crust invite NICKNAME"])
        self.assertIn(str(self.folder / "home" / "authority.key"), self.out.getvalue())

    def test_start_runs_the_daemon_and_waits_for_no_member(self) -> None:
        started: list[tuple[Path, bool]] = []
        self.patch(Starter, "prepare", lambda _: None)
        self.patch(Starter, "start", lambda _, folder, alone: started.append((folder, alone)))
        self.assertEqual(self.run_script("init", "home", "--start"), 0)
        self.assertEqual(started, [(self.folder / "home", True)])
        self.assertEqual(self.out.getvalue().splitlines()[-2:], ["Next:", "  routing-crust invite NICKNAME"])

    def test_it_says_so_to_programs_too(self) -> None:
        folder = self.folder / "elsewhere" / "x"
        self.assertEqual(self.run_script("init", "home", "--json", "--state-dir", str(folder)), 0)
        facts = json.loads(self.out.getvalue())
        self.assertEqual((facts["label"], facts["state_dir"]), ("home", str(folder)))
        self.assertTrue(facts["network"].startswith("key:"))
        self.assertEqual(facts["next"][0], f"twistd -n routing-node --state-dir={folder}")

    def test_addresses_go_into_the_settings(self) -> None:
        self.assertEqual(self.run_script("init", "home", "--listen", "7000", "--external=5.5.5.5:7000"), 0)
        options = Options()
        options.parseOptions(["--state-dir", str(self.folder / "home")])
        settings, _ = options.settings()
        self.assertEqual(list(map(str, settings.listen)), ["0.0.0.0:7000"])
        self.assertEqual(list(map(str, settings.external)), ["5.5.5.5:7000"])

    def test_only_network_needs_no_option(self) -> None:
        self.assertEqual(self.run_script("init", "home"), 0)
        options = Options()
        options.parseOptions([])
        self.assertEqual(options.settings()[1], self.folder / "home")
        self.out.truncate(0)
        self.assertEqual(self.run_script("name"), 0)
        name = load_identity(self.folder / "home" / "key.pem").name
        self.assertEqual(self.out.getvalue().strip("\0\n"), str(name))

    def test_what_is_there_already_is_left_alone(self) -> None:
        self.assertEqual(self.run_script("init", "home"), 0)
        before = (self.folder / "home" / "key.pem").read_bytes()
        self.assertEqual(self.run_script("init", "home"), 1)
        self.assertIn("is there already", self.err.getvalue())
        self.assertEqual((self.folder / "home" / "key.pem").read_bytes(), before)
        self.assertEqual([each.name for each in self.folder.iterdir()], ["home"])

    def test_names_and_addresses_that_are_none(self) -> None:
        self.assertIn("cannot be a nickname", self.refused("init", "a b"))
        self.assertIn("cannot be a nickname", self.refused("init", "home", "--nickname=-x"))
        self.assertEqual(self.run_script("init", "home", "--external", "0.0.0.0:1"), 1)
        self.assertIn("external: 0.0.0.0:1 cannot be dialled by anybody", self.err.getvalue())
        self.assertEqual(list(self.folder.iterdir()), [])
