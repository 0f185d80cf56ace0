"""The commands about members: the script, its daemon and the members of a simulated network."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from routing_crust.daemon.control.inbox import DaemonInbox
from routing_crust.daemon.control.server import ControlServer
from routing_crust.daemon.members.administration import Administration
from routing_crust.identity import Identity
from routing_crust.routing.private.directory_sync import DirectorySync
from routing_crust.testing.host import SimulatedNode
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.trust.certificate import Certificate, MemberRole
from routing_crust.trust.issuing import Issuer

from ..fakes import FakeService
from ..test_cli import CliTestCase

COMMANDS = (("members",), ("ban", "old"), ("renew",), ("tag", "old", "web"), ("role", "old", "node"))


class AdministrationCase(CliTestCase):
    """
    A network of an admin and three members that it has certified, with the admin's daemon.

    @ivar authority: the authority's key, where it is on the admin's machine.
    """

    def setUp(self) -> None:
        super().setUp()
        self.net = SimulatedNetwork(3, private=True, latency=0.02)
        self.addCleanup(self.net.stop)
        founder = self.net.founder
        assert founder is not None
        self.founder = founder
        self.authority: Identity | None = None
        self.nodes = self.net.nodes(4)
        self.net.run_until(self.net.joined)
        self.net.run_for(10)
        self.manage(self.nodes[0])

    def manage(self, node: SimulatedNode) -> None:
        """Have the daemon be that of this node."""
        server = ControlServer(node.service, DaemonInbox(), dict)
        Administration(node.service, lambda: self.authority, "home").register(server)
        server.listen(self.folder / "control.sock", reactor)
        self.addCleanup(server.stop, reactor)

    async def run_here(self, *words: str, code: int = 0) -> str:
        """What the script prints."""
        self.out.truncate(0)
        self.out.seek(0)
        self.err.truncate(0)
        self.err.seek(0)
        self.assertEqual(await deferToThread(self.run_script, *self.here(*words)), code, self.err.getvalue())
        return (self.err if code else self.out).getvalue()

    async def tables(self) -> list[dict[str, Any]]:
        """The members, as JSON."""
        found: list[dict[str, Any]] = json.loads(await self.run_here("members", "--json"))["members"]
        return found

    def certificate(self, number: int) -> Certificate:
        """What the node shows at the moment."""
        membership = self.nodes[number].membership
        assert membership is not None
        return membership.certificate.certificate

    def nickname(self, number: int) -> str:
        return self.certificate(number).nickname

    def text(self, number: int) -> str:
        return str(self.certificate(number))

    def is_linked(self, number: int, to: int = 0) -> bool:
        core = self.nodes[to].core
        assert core is not None
        return core.links.peer(self.nodes[number].name) is not None


class MembersTests(AdministrationCase):
    async def test_members_are_listed_with_their_links(self) -> None:
        lines = (await self.run_here("members")).splitlines()
        expected = "members of home that are known here; its authority key is not on this machine"
        self.assertEqual(lines[0], expected)
        self.assertEqual(lines[1].split(), ["NICKNAME", "NAME", "ROLES", "TAGS", "UNTIL", "CONNECTION"])
        self.assertIn("this node", lines[2])
        self.assertEqual(len(lines), 6)
        for line in lines[3:]:
            self.assertRegex(line, r"^member-\d +[a-z2-7]{8}  node,relay +-  .* UTC  direct, for \d+ s$")

    async def test_members_are_listed_as_json(self) -> None:
        own, *others = await self.tables()
        self.assertEqual((own["this"], own["name"]), (True, str(self.nodes[0].name)))
        self.assertEqual({each["name"] for each in others}, {str(each.name) for each in self.nodes[1:]})
        for each in others:
            self.assertEqual(
                (each["roles"], each["tags"], each["connection"], each["via"], each["banned"]),
                (["node", "relay"], [], "direct", None, ""),
            )
            self.assertGreater(each["linked_seconds"], 0)

    async def test_member_that_has_gone_is_listed_without_a_link(self) -> None:
        self.net.result_of(self.nodes[2].stop())
        self.net.run_for(1)
        (gone,) = [each for each in await self.tables() if each["name"] == str(self.nodes[2].name)]
        self.assertEqual((gone["connection"], gone["linked_seconds"]), (None, None))
        self.assertIn("no link", (await self.run_here("members")).splitlines()[-1])

    async def test_members_that_were_met_before_a_restart_are_listed(self) -> None:
        self.net.result_of(self.nodes[2].stop())
        self.nodes[0].crash()
        self.nodes[0].restart()
        self.net.run_for(10)
        self.folder = self.folder / "again"
        self.folder.mkdir()
        self.manage(self.nodes[0])
        (gone,) = [each for each in await self.tables() if each["name"] == str(self.nodes[2].name)]
        self.assertIsNone(gone["connection"])

    async def test_open_network_has_no_members_to_manage(self) -> None:
        self.folder = self.folder / "open"
        self.folder.mkdir()
        server = ControlServer(FakeService(), DaemonInbox(), dict)  # type: ignore[arg-type]
        server.listen(self.folder / "control.sock", reactor)
        self.addCleanup(server.stop, reactor)
        for words in COMMANDS:
            self.assertIn("the network 'default' is open", await self.run_here(*words, code=1))


class BanTests(AdministrationCase):
    async def test_banned_member_loses_all_links(self) -> None:
        name, text = self.nickname(2), self.text(2)
        out = await self.run_here("ban", name, "--note", "lost laptop")
        self.assertEqual(out, f"{text} is banned by {self.text(0)}; 2 linked members tell the others\n")
        self.net.run_for(5)
        self.assertEqual([self.is_linked(2, to) for to in (0, 1, 3)], [False, False, False])
        (banned,) = [each for each in await self.tables() if each["banned"]]
        self.assertEqual(banned["name"], str(self.nodes[2].name))
        self.assertRegex(banned["banned"], r"^by .* on \d{4}-\d\d-\d\d \d\d:\d\d UTC: lost laptop$")

    async def test_member_can_be_given_by_its_name_or_the_beginning_of_it(self) -> None:
        for number, length in ((1, 52), (2, 8)):
            await self.run_here("ban", str(self.nodes[number].name)[:length])
            self.net.run_for(5)
            self.assertFalse(self.is_linked(number))

    async def test_name_that_was_never_seen_can_be_banned(self) -> None:
        stranger = str(self.net.new_identity().name)
        out = json.loads(await self.run_here("ban", stranger, "--json"))
        self.assertEqual((out["name"], out["linked"]), (stranger, 3))
        self.assertIn(stranger, [each["name"] for each in await self.tables()])

    async def test_nobody_is_banned_by_mistake(self) -> None:
        for who, problem in (
            ("nobody", "no member is known here that 'nobody' means"),
            (str(self.nodes[1].name)[:7], "no member is known here"),
            (self.nickname(0), "this is this node itself"),
        ):
            self.assertIn(problem, await self.run_here("ban", who, code=1))
        self.assertEqual([each["banned"] for each in await self.tables()], [""] * 4)

    async def test_second_ban_of_a_member_says_who_has_banned_it_before(self) -> None:
        await self.run_here("ban", self.nickname(2), "--note", "lost")
        out = await self.run_here("ban", self.nickname(2))
        self.assertRegex(out, r"is banned already, by .* UTC: lost\n$")

    async def test_ban_of_the_last_admin_warns_of_what_nobody_can_do_any_more(self) -> None:
        key = self.net.new_identity()
        admin = self.founder.membership(key, nickname="second", roles=MemberRole.ADMIN.implied).certificate
        network = self.nodes[0].service.private_network
        assert network is not None
        network.give_certificate(admin)
        self.authority = self.founder.authority
        self.assertNotIn("nobody is an admin", await self.run_here("role", self.nickname(0), "node"))
        self.assertIn("nobody is an admin any more", await self.run_here("ban", "second"))

    async def test_nickname_of_two_members_is_refused(self) -> None:
        members = self.nodes[0].service.private_network
        assert members is not None
        twin = self.founder.membership(self.net.new_identity(), nickname=self.nickname(1)).certificate
        members.members.met(twin)
        out = await self.run_here("ban", self.nickname(1), code=1)
        self.assertIn("can mean several members", out)
        self.assertIn(str(self.nodes[1].name), out)

    async def test_member_who_is_no_admin_bans_nobody(self) -> None:
        self.folder = self.folder / "other"
        self.folder.mkdir()
        self.manage(self.nodes[1])
        out = await self.run_here("ban", self.nickname(2), code=1)
        self.assertIn("is neither an admin nor an inviter", out)

    async def test_bans_are_lifted_where_the_authority_key_is(self) -> None:
        name = self.nickname(2)
        self.assertIn("is not banned", await self.run_here("ban", name, "--lift", code=1))
        await self.run_here("ban", name)
        self.net.run_for(5)
        self.assertIn("only the authority lifts bans", await self.run_here("ban", name, "--lift", code=1))
        self.authority = self.founder.authority
        self.assertIn(f"the bans of {self.text(2)} are lifted", await self.run_here("ban", name, "--lift"))
        self.net.run_until(lambda: self.is_linked(2))

    async def test_ban_of_an_admin_by_the_authority_says_what_follows(self) -> None:
        """Whom that admin has banned is free at once; whom it has certified is let in after a renewal."""
        key = self.net.new_identity()
        admin = self.founder.membership(key, nickname="second", roles=MemberRole.ADMIN.implied).certificate
        second = Issuer(key, admin)
        network = self.nodes[0].service.private_network
        assert network is not None
        now = self.net.clock.seconds()
        network.add_statements([second.ban(self.nodes[3].name, network.members.roster, now)])
        network.give_certificate(second.renew(self.certificate(1), now))
        self.net.run_for(5)
        self.assertEqual([self.is_linked(each) for each in (1, 3)], [True, False])
        self.authority = self.founder.authority
        lines = (await self.run_here("ban", str(key.name))).splitlines()
        self.assertRegex(lines[0], "is banned by the authority; 1 linked member tells the others$")
        self.assertEqual(lines[1], f"its own bans do not count any more: {self.text(3)}")
        self.assertEqual(
            lines[2:],
            [
                f"it has issued the certificates of {self.text(1)}: they are refused until",
                f"you have run: routing-crust renew {self.nickname(1)}",
            ],
        )
        self.net.run_for(5)
        self.assertFalse(self.is_linked(1))
        await self.run_here("renew", self.nickname(1))
        self.net.run_until(lambda: self.is_linked(1) and self.is_linked(3))


class RenewTests(AdministrationCase):
    async def test_member_gets_a_new_certificate(self) -> None:
        before = self.certificate(1)
        self.net.run_for(100)
        out = await self.run_here("renew", before.nickname)
        self.assertRegex(
            out, r"^member-\d \(.{8}\) is certified as node,relay until .* UTC; it has the certificate\n$"
        )
        self.net.run_for(2)
        after = self.certificate(1)
        self.assertGreater(after.serial, before.serial)
        self.assertGreater(after.not_after, before.not_after)
        self.assertTrue(self.is_linked(1))

    async def test_several_members_are_renewed_at_once_or_none(self) -> None:
        before = self.certificate(1).serial
        await self.run_here("renew", self.nickname(1), "nobody", code=1)
        self.net.run_for(2)
        self.assertEqual(self.certificate(1).serial, before)
        out = json.loads(await self.run_here("renew", self.nickname(1), self.nickname(2), "--json"))
        self.assertEqual([each["delivered"] for each in out["members"]], [True, True])

    async def test_admins_are_renewed_by_the_authority_alone(self) -> None:
        before = self.certificate(0)
        self.assertIn("only the authority makes admins", await self.run_here("renew", code=1))
        self.authority = self.founder.authority
        await self.run_here("renew")
        self.assertGreater(self.certificate(0).not_after, before.not_after)

    async def test_member_that_issues_nothing_is_told_who_renews_it(self) -> None:
        self.folder = self.folder / "other"
        self.folder.mkdir()
        self.manage(self.nodes[1])
        out = await self.run_here("renew", code=1)
        self.assertIn(f"ask one of them for 'routing-crust renew {self.nickname(1)}'", out)

    async def test_banned_and_unknown_members_are_not_renewed(self) -> None:
        await self.run_here("ban", self.nickname(2))
        self.assertIn("is banned by", await self.run_here("renew", self.nickname(2), code=1))
        stranger = str(self.net.new_identity().name)
        self.assertIn("is not known here", await self.run_here("renew", stranger, code=1))


class TagTests(AdministrationCase):
    async def test_tags_are_given_and_shown(self) -> None:
        out = await self.run_here("tag", self.nickname(1), "web", "db")
        self.assertIn("tags db, web; it has the certificate", out)
        self.net.run_for(2)
        self.assertEqual(self.certificate(1).tags, {"web", "db"})
        (found,) = [each for each in await self.tables() if each["name"] == str(self.nodes[1].name)]
        self.assertEqual(found["tags"], ["db", "web"])

    async def test_certificate_with_a_removed_tag_is_good_no_more_and_the_member_stays(self) -> None:
        await self.run_here("tag", self.nickname(1), "web")
        self.net.run_for(2)
        membership = self.nodes[1].membership
        assert membership is not None
        old = membership.certificate
        await self.run_here("tag", self.nickname(1), "--remove", "web")
        self.net.run_for(5)
        self.assertEqual(self.certificate(1).tags, frozenset())
        self.assertEqual([self.is_linked(1, to) for to in (0, 2, 3)], [True, True, True])
        network = self.nodes[2].service.private_network
        assert network is not None
        rejection = network.members.rejection(old, self.nodes[1].name)
        self.assertIn("its certificate is revoked", str(rejection))

    async def test_member_that_was_away_gets_the_certificate_when_it_comes(self) -> None:
        await self.run_here("tag", self.nickname(1), "web")
        self.net.run_for(2)
        self.net.result_of(self.nodes[1].stop())
        self.net.run_for(2)
        out = await self.run_here("tag", self.nickname(1), "--remove", "web")
        self.assertIn("it gets the certificate when it comes", out)
        # what was issued last counts, not what the member has shown last
        await self.run_here("renew", self.nickname(1))
        self.net.run_for(2)
        self.nodes[1].start()
        self.net.run_until(lambda: self.is_linked(1))
        self.assertEqual(self.certificate(1).tags, frozenset())

    async def test_tag_that_was_given_while_its_member_and_then_the_admin_were_away(self) -> None:
        """What waits for a member is given to it, without a comparison of directories."""
        self.patch(DirectorySync, "_compare", lambda *_: None)
        self.net.result_of(self.nodes[1].stop())
        self.net.run_for(2)
        await self.run_here("tag", self.nickname(1), "web")
        self.nodes[0].crash()
        self.nodes[0].restart()
        self.net.run_for(10)
        self.assertEqual(self.certificate(1).tags, frozenset())
        self.nodes[1].start()
        self.net.run_until(lambda: self.certificate(1).tags == {"web"})

    async def test_tags_that_cannot_be_are_refused(self) -> None:
        name = self.nickname(1)
        for words, problem in (
            (("a b",), "cannot be a tag"),
            (("--remove", "web"), "has no tag 'web': it has none"),
            ((), "has these tags already"),
            (tuple("abcdefghi"), "at most 8 tags"),
        ):
            self.assertIn(problem, await self.run_here("tag", name, *words, code=1))

    async def test_old_certificate_of_an_admin_is_not_revoked_and_the_operator_is_told(self) -> None:
        self.authority = self.founder.authority
        await self.run_here("tag", self.nickname(0), "web")
        out = await self.run_here("tag", self.nickname(0), "--remove", "web")
        self.assertIn("its old certificate, with 'web', is good until", out)
        self.net.run_for(5)
        self.assertEqual([self.is_linked(each) for each in (1, 2, 3)], [True, True, True])


class RoleTests(AdministrationCase):
    def roles(self, number: int) -> list[str]:
        return sorted(each.text for each in self.certificate(number).roles)

    def linked(self, number: int) -> list[bool]:
        """Whether it has links with all others."""
        return [self.is_linked(number, to) for to in range(4) if to != number]

    async def test_admin_takes_the_role_of_relay_away_and_gives_it_again(self) -> None:
        out = await self.run_here("role", self.nickname(1), "node")
        self.assertIn("is certified as node until", out)
        self.net.run_for(10)
        self.assertEqual(self.roles(1), ["node"])
        self.assertEqual(self.linked(1), [True, True, True])
        await self.run_here("role", self.nickname(1), "relay")
        self.net.run_for(2)
        self.assertEqual(self.roles(1), ["node", "relay"])

    async def test_node_that_is_to_be_a_client_must_be_restarted(self) -> None:
        for role in ("client", "node"):
            out = await self.run_here("role", self.nickname(1), role)
            self.assertRegex(out, rf"restart the daemon of {self.nickname(1)} .*: it is a {role} from")
            self.net.run_for(2)
            self.assertEqual(self.roles(1), [role])
        self.assertNotIn("restart", await self.run_here("role", self.nickname(1), "relay"))

    async def test_admins_are_made_where_the_authority_key_is(self) -> None:
        out = await self.run_here("role", self.nickname(1), "admin", code=1)
        self.assertIn("only the authority makes admins and inviters: use the machine that has", out)
        self.authority = self.founder.authority
        await self.run_here("role", self.nickname(1), "admin")
        self.net.run_for(2)
        self.assertEqual(self.roles(1), ["admin", "invite", "node", "relay"])

    async def test_role_that_a_member_has_already_is_refused(self) -> None:
        out = await self.run_here("role", self.nickname(1), "relay", code=1)
        self.assertIn("may do just that already: node, relay", out)

    async def test_only_admin_that_loses_its_role_is_told_what_nobody_can_do_any_more(self) -> None:
        self.authority = self.founder.authority
        out = await self.run_here("role", self.nickname(0), "node")
        self.assertIn("nobody is an admin any more: until somebody is, ", out)
        await self.run_here("role", self.nickname(0), "admin")
        self.net.run_for(5)
        await self.run_here("role", self.nickname(1), "admin")
        self.net.run_for(5)
        self.assertNotIn("nobody is an admin", await self.run_here("role", self.nickname(0), "node"))

    async def test_admin_does_not_take_its_own_role_without_the_authority_key(self) -> None:
        """What it would issue as its last act, its own certificate among it, would be revoked by that act."""
        out = await self.run_here("role", self.nickname(0), "node", code=1)
        self.assertIn("only the authority takes the role from an admin or inviter that it has itself", out)
        self.net.run_for(5)
        self.assertEqual(self.linked(0), [True, True, True])

    async def test_what_an_admin_has_issued_and_banned_outlives_its_role(self) -> None:
        """The other members have their certificates from it, and it has banned one."""
        await self.run_here("ban", self.nickname(3), "--note", "lost")
        self.authority = self.founder.authority
        await self.run_here("role", self.nickname(1), "admin")
        self.net.run_for(5)
        old = self.nodes[0].membership
        assert old is not None
        before = old.certificate
        await self.run_here("role", self.nickname(0), "node")
        self.net.run_for(20)
        self.assertEqual(self.roles(0), ["node"])
        self.assertEqual([self.is_linked(0, 1), self.is_linked(0, 2), self.is_linked(1, 2)], [True] * 3)
        other = self.nodes[2].service.private_network
        assert other is not None
        self.assertIn("revoked", str(other.members.rejection(before, self.nodes[0].name)))
        ban = other.members.roster.ban_of(self.nodes[3].name)
        assert ban is not None
        self.assertEqual((ban.is_of_authority, ban.statement.note), (True, "lost"))
        # it says nothing any more
        self.authority = None
        self.assertIn("is neither an admin", await self.run_here("ban", self.nickname(2), code=1))
