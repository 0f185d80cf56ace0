"""
C{join}: what is said and written for a good invitation, and that nothing is for a bad one.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from routing_crust.config import Role
from routing_crust.daemon.commands import joining
from routing_crust.daemon.members import networks_here
from routing_crust.daemon.members.starting import Started, Starter
from routing_crust.daemon.options import Options
from routing_crust.endpoints import Contact, Endpoint
from routing_crust.errors import JoinFailed
from routing_crust.hosts.proxies import Proxy
from routing_crust.identity import Identity, load_identity
from routing_crust.trust.certificate import Ed25519Verifier, MemberRole
from routing_crust.trust.codec import encode_certificate
from routing_crust.trust.invitation import Invitation
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.networks import network_of
from routing_crust.trust.redeeming import Welcome
from routing_crust.trust.short_invitation import AnyInvitation, ShortInvitation
from routing_crust.trust.state_files import load_beacon_secret, load_certificate
from routing_crust.wire.codec import to_wire
from routing_crust.wire.messages import WireContact

from ..fakes import IDENTITIES
from ..test_cli import CliTestCase

AUTHORITY, FOUNDER, PUBLIC = IDENTITIES[:3]
NETWORK = network_of(AUTHORITY.name)
AT = Endpoint("192.0.2.7", 5483)


class JoinTestCase(CliTestCase):
    """
    @ivar asked: the nicknames with which an invitation was redeemed.
    @ivar proxies: what was dialled through for each.
    @ivar invited: the nickname that the invitation says; empty if it leaves it open.
    @ivar outcome: what comes of it: an exception, or changes to the welcome.
    """

    def setUp(self) -> None:
        super().setUp()
        for module in (joining, networks_here):
            self.patch(module, "default_state_dir", lambda network: self.folder / network)
        self.patch(joining, "redeem", self.redeem)
        self.patch(joining, "own_nickname", lambda: "host")
        self.asked: list[str] = []
        self.proxies: list[str] = []
        self.outcome: BaseException | dict[str, Any] = {}
        self.roles: tuple[MemberRole, ...] = (MemberRole.NODE,)
        self.invited = ""
        self.begin = time.time() - 60

    def redeem(
        self, invitation: AnyInvitation, identity: Identity, nickname: str, listen: object, proxy: object
    ) -> tuple[Welcome, Contact | None]:
        self.asked.append(nickname)
        self.proxies.append(str(proxy))
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        name = identity.name
        signed = Issuer(AUTHORITY).issue(name, self.invited or nickname, self.roles, self.begin)
        fields: dict[str, Any] = {
            "label": "home",
            "certificate": encode_certificate(signed),
            "beacon_secret": b"b" * 32,
            "contacts": (WireContact(FOUNDER.name.raw, to_wire(Endpoint("10.0.0.2", 5483))),),
            "members": 3,
        }
        return Welcome(**{**fields, **self.outcome}), Contact(AT, PUBLIC.name)

    def line(self, expiry: float = 3600.0) -> str:
        until = int(time.time() + expiry)
        return Invitation(NETWORK, FOUNDER.name, (AT,), b"s" * 16, until).text

    def left(self) -> list[str]:
        return sorted(each.name for each in self.folder.iterdir())

    def settings(self, folder: Path) -> Any:
        options = Options()
        options.parseOptions(["--state-dir", str(folder)])
        return options.settings()[0]


class GoodTests(JoinTestCase):
    def test_member_has_all_that_its_node_needs(self) -> None:
        self.assertEqual(self.run_script("join", self.line()), 0)
        folder = self.folder / "home"
        settings = self.settings(folder)
        self.assertEqual((settings.network, settings.role), (NETWORK, Role.NODE))
        self.assertEqual(
            [str(each) for each in settings.contacts],
            [f"{PUBLIC.name}@{AT}", f"{FOUNDER.name}@10.0.0.2:5483"],
        )
        name = load_identity(folder / "key.pem").name
        signed = load_certificate(folder, NETWORK, name, Ed25519Verifier())
        self.assertEqual(signed.certificate.nickname, "host")
        self.assertEqual(load_beacon_secret(folder), b"b" * 32)
        self.assertEqual(self.left(), ["home"])

    def test_network_of_a_short_invitation_is_that_of_the_certificate(self) -> None:
        short = ShortInvitation.at(AT).text
        self.assertEqual(self.run_script("join", short[:9], short[9:]), 0)
        self.assertEqual(self.err.getvalue(), f"asking at {AT} ...\n")
        self.assertEqual(self.settings(self.folder / "home").network, NETWORK)
        # it says no network, so that this is known afterwards only
        self.assertEqual(self.run_script("join", ShortInvitation.at(AT).text), 1)
        self.assertIn("this machine is a member of that network already", self.err.getvalue())
        self.assertEqual(self.left(), ["home"])

    def test_proxy_is_dialled_through_and_stands_in_the_settings(self) -> None:
        url = "http://me:secret@192.0.2.1:3128"
        self.assertEqual(self.run_script("join", "--proxy", url, self.line()), 0)
        self.assertEqual(self.proxies, ["http://192.0.2.1:3128"])
        self.assertEqual(self.settings(self.folder / "home").proxy, Proxy.from_text(url))
        self.assertNotIn("secret", self.out.getvalue() + self.err.getvalue())

    def test_last_line_says_who_one_is(self) -> None:
        self.assertEqual(self.run_script("join", "--nickname=laptop", self.line()), 0)
        lines = self.out.getvalue().splitlines()
        self.assertEqual(lines[-1], "you are laptop in home; 3 members are reachable")
        self.assertEqual(lines[-2], "next:     twistd -n routing-node")
        self.assertEqual(self.err.getvalue(), f"asking at {AT} ...\n")

    def test_nickname_that_does_not_count_is_named(self) -> None:
        self.invited = "third"
        self.assertEqual(self.run_script("join", "--nickname=laptop", self.line()), 0)
        self.assertIn("the invitation is for third, so --nickname counts for nothing", self.err.getvalue())
        self.assertIn("you are third in home", self.out.getvalue())

    def test_programs_are_told_as_json(self) -> None:
        self.assertEqual(self.run_script("join", "--json", self.line()), 0)
        facts = json.loads(self.out.getvalue())
        self.assertEqual((facts["label"], facts["nickname"], facts["members"]), ("home", "host", 3))
        self.assertEqual(facts["network"], NETWORK)
        self.assertEqual(self.err.getvalue(), "")

    def test_line_may_be_pasted_as_it_came(self) -> None:
        line = self.line()
        broken = f"{line[:40]} {line[40:90]}\n  {line[90:]}".upper()
        for number, words in enumerate(
            (["routing-crust", "join", line], [f"routing-crust join {line}"], broken.split(), [broken])
        ):
            folder = str(self.folder / str(number))
            self.assertEqual(self.run_script("join", "--state-dir", folder, *words), 0, words)
        self.patch(sys, "stdin", io.StringIO(f"routing-crust join {line}\n"))
        self.assertEqual(self.run_script("join", "-", "--state-dir", str(self.folder / "stdin")), 0)

    def test_client_gets_the_settings_of_one(self) -> None:
        self.roles = (MemberRole.CLIENT,)
        self.assertEqual(self.run_script("join", self.line()), 0)
        # its certificate says that it is a client, until another one says something else
        self.assertEqual(self.settings(self.folder / "home").role, Role.NODE)
        self.assertNotIn("listen =", (self.folder / "home" / "config.toml").read_text())

    def test_other_network_of_the_same_label_stays(self) -> None:
        (self.folder / "home").mkdir()
        (self.folder / "home" / "config.toml").write_text('network = "other"\n')
        self.assertEqual(self.run_script("join", self.line()), 0)
        self.assertEqual(self.left(), ["home", f"home-{NETWORK[-8:]}"])
        self.assertIn(f"--state-dir={self.folder}/home-{NETWORK[-8:]}", self.out.getvalue())

    def test_label_from_elsewhere_names_no_other_folder(self) -> None:
        self.outcome = {"label": "../../etc"}
        self.assertEqual(self.run_script("join", self.line()), 0)
        self.assertEqual(self.left(), ["etc"])

    def test_start_runs_the_daemon_and_counts_its_links(self) -> None:
        started: list[Path] = []
        self.patch(Starter, "prepare", lambda _: None)
        self.patch(Starter, "start", lambda _, folder: started.append(folder) or Started(5))
        self.assertEqual(self.run_script("join", "--start", self.line()), 0)
        self.assertEqual(started, [self.folder / "home"])
        lines = self.out.getvalue().splitlines()
        self.assertEqual(lines[-1], "you are host in home; 5 members are reachable")
        self.assertNotIn("next:", self.out.getvalue())

    def test_clock_that_is_days_off_costs_no_invitation(self) -> None:
        self.begin = time.time() + 3 * 86400
        self.assertEqual(self.run_script("join", self.line()), 0)
        self.assertIn("set the clock of this machine: its certificate is not valid yet", self.err.getvalue())
        self.assertIn("you are host in home", self.out.getvalue())
        self.assertTrue((self.folder / "home" / "certificate").exists())


class BadTests(JoinTestCase):
    def fails(self, *arguments: str) -> str:
        """Join with one line of an error, and nothing left."""
        before = self.left()
        self.assertEqual(self.run_script("join", *arguments), 1)
        lines = [each for each in self.err.getvalue().splitlines() if not each.startswith("asking at")]
        self.assertEqual(len(lines), 1, lines)
        self.assertEqual(self.out.getvalue(), "")
        self.assertEqual(self.left(), before)
        self.err.truncate(0)
        self.err.seek(0)
        return lines[0]

    def test_line_that_is_torn_or_mistyped(self) -> None:
        line = self.line()
        at = 40
        mistyped = line[:at] + ("a" if line[at] != "a" else "b") + line[at + 1 :]
        self.assertIn("torn: it has 100 characters", self.fails(line[:100]))
        self.assertIn("mistyped: look at characters 36 to 51", self.fails(mistyped))
        self.assertIn("this is not an invitation", self.fails("hello"))
        self.assertEqual(self.asked, [])

    def test_two_invitations_at_once_are_refused(self) -> None:
        line, other = f"routing-crust join {self.line()}", self.line(expiry=100)
        for words in ((line, other), tuple(f"{line} {line}".split()), (f"{line}\n{line}\n",)):
            self.assertIn("these are 2 invitations: give one of them", self.fails(*words))
        self.assertEqual(self.asked, [])

    def test_expired_invitation_is_told_with_both_times(self) -> None:
        text = self.fails(self.line(expiry=-10))
        self.assertIn("the invitation has expired on", text)
        self.assertIn("by the clock here it is", text)
        self.assertEqual(self.asked, [])

    def test_refusals_and_silence_are_one_line(self) -> None:
        self.outcome = JoinFailed("the invitation is not accepted: used up")
        self.assertEqual(self.fails(self.line()), "routing-crust: the invitation is not accepted: used up")

    def test_proxy_that_the_environment_names_is_spoken_of(self) -> None:
        self.outcome = JoinFailed("nobody has answered")
        self.patch(os, "environ", {"HTTPS_PROXY": "proxy.example:3128"})
        self.assertIn(
            "nobody has answered (HTTPS_PROXY names a proxy: --proxy environment goes through it)",
            self.fails(self.line()),
        )
        self.assertNotIn("HTTPS_PROXY", self.fails("--proxy=environment", self.line()))

    def test_proxy_that_cannot_be_used(self) -> None:
        self.assertIn("is not a proxy: write http://", self.fails("--proxy=ftp://192.0.2.1", self.line()))
        self.patch(os, "environ", {"HTTPS_PROXY": "https://proxy.example"})
        self.assertIn("HTTPS_PROXY", self.fails("--proxy=environment", self.line()))
        self.assertEqual(self.asked, [])

    def test_certificate_of_somebody_else_does_not_hold(self) -> None:
        name = FOUNDER.name
        signed = Issuer(AUTHORITY).issue(name, "x", (MemberRole.NODE,), self.begin)
        self.outcome = {"certificate": encode_certificate(signed)}
        self.assertIn("the certificate that came does not hold", self.fails(self.line()))
        self.outcome = {"certificate": b"\x90"}
        self.assertIn("not a certificate", self.fails(self.line()))

    def test_member_does_not_join_again(self) -> None:
        self.assertEqual(self.run_script("join", self.line()), 0)
        self.out.truncate(0)
        self.out.seek(0)
        self.err.truncate(0)
        self.err.seek(0)
        self.assertIn("is a member of that network already", self.fails(self.line()))
        self.assertEqual(len(self.asked), 1)

    def test_folder_that_cannot_be_used_is_found_out_before_the_invitation_is_used(self) -> None:
        (self.folder / "x").mkdir()
        (self.folder / "x" / "mine").write_text("")
        text = self.fails(self.line(), "--state-dir", str(self.folder / "x"))
        self.assertIn("is there already, with mine in it", text)
        (self.folder / "file").write_text("")
        self.fails(self.line(), "--state-dir", str(self.folder / "file" / "y"))
        self.assertEqual(self.asked, [])

    def test_interrupt_leaves_nothing(self) -> None:
        self.outcome = KeyboardInterrupt()
        self.assertEqual(self.run_script("join", self.line()), 1)
        self.assertEqual(self.left(), [])
