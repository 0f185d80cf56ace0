"""C{authority}: the key of a network is copied from a machine and back."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.trust.certificate import MemberRole
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.state_files import load_authority, save_certificate, write_authority

from ..test_cli import CliTestCase

NOW = 1_800_000_000.0


class AuthorityCommandTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Identity.generate()
        issuer = Issuer(self.authority)
        self.network = issuer.network
        member = Name(Identity.generate().name.raw)
        save_certificate(self.folder, issuer.issue(member, "home", MemberRole.ADMIN.implied, NOW))
        self.key = self.folder / "authority.key"
        write_authority(self.key, self.authority)
        self.copy = self.folder / "copy.key"

    def authority_here(self) -> Identity | None:
        return load_authority(self.folder, self.network)

    def fails(self, *arguments: str) -> str:
        self.assertEqual(self.run_script(*self.here("authority", *arguments)), 1)
        self.assertEqual(self.out.getvalue(), "")
        return self.err.getvalue()

    def test_export_writes_a_copy_for_its_owner_alone(self) -> None:
        self.assertEqual(self.run_script(*self.here("authority", "export", str(self.copy))), 0)
        self.assertEqual(stat.S_IMODE(self.copy.stat().st_mode), 0o600)
        self.assertEqual(self.copy.read_bytes(), self.key.read_bytes())
        self.assertIn(f"the authority key of {self.network} is in {self.copy}: keep it", self.out.getvalue())

    def test_key_that_is_taken_off_the_machine_can_be_brought_back(self) -> None:
        words = self.here("authority", "export", str(self.copy), "--remove", "--json")
        self.assertEqual(self.run_script(*words), 0)
        self.assertEqual(
            json.loads(self.out.getvalue()),
            {"network": self.network, "file": str(self.copy), "removed": True},
        )
        self.assertIsNone(self.authority_here())
        self.assertEqual(self.run_script(*self.here("authority", "import", str(self.copy))), 0)
        found = self.authority_here()
        assert found is not None
        self.assertEqual(found.name, self.authority.name)

    def test_neither_way_replaces_a_file(self) -> None:
        self.copy.write_text("something else")
        self.assertIn("copy.key is there already", self.fails("export", str(self.copy), "--remove"))
        self.assertEqual(self.copy.read_text(), "something else")
        self.assertIsNotNone(self.authority_here())
        other = self.exported()
        self.assertIn("authority.key is there already", self.fails("import", str(other)))

    def test_machine_without_the_key_has_none_to_export(self) -> None:
        self.key.unlink()
        self.assertIn("the authority key", self.fails("export", str(self.copy)))
        self.assertFalse(self.copy.exists())

    def test_key_that_others_may_read_is_not_imported(self) -> None:
        other = self.exported()
        self.key.unlink()
        other.chmod(0o644)
        self.assertIn("has mode 0644, so others may read it", self.fails("import", str(other)))
        self.assertIsNone(self.authority_here())

    def test_key_of_another_network_is_not_imported(self) -> None:
        self.key.unlink()
        write_authority(self.copy, Identity.generate())
        self.assertIn(f"and not of {self.network}", self.fails("import", str(self.copy)))
        self.assertIsNone(self.authority_here())

    def test_damaged_key_is_neither_exported_nor_imported(self) -> None:
        self.key.write_bytes(self.key.read_bytes()[:50])
        self.assertIn("authority.key is damaged", self.fails("export", str(self.copy)))
        self.copy.write_text("no key")
        self.copy.chmod(0o600)
        self.assertIn("copy.key is damaged", self.fails("import", str(self.copy)))

    def test_machine_that_is_no_member_imports_nothing(self) -> None:
        other = self.exported()
        (self.folder / "certificate").unlink()
        self.assertIn("there is no certificate at", self.fails("import", str(other)))

    def exported(self) -> Path:
        path = self.folder / "exported.key"
        write_authority(path, self.authority)
        return path
