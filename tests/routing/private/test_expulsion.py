"""Who is banned loses links, streams and whatever is kept for it, everywhere and at once."""

from __future__ import annotations

from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure

from routing_crust.errors import CloseReason, PeerUnreachable
from routing_crust.routing.events import LinkLost, Message
from routing_crust.streams.service import streams_of
from routing_crust.testing.host import SimulatedNode
from routing_crust.trust.certificate import MemberRole
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.roster import Roster

from .private_case import DAY, PrivateCase

IN_TIME = 1.0
"""Seconds in which a ban is carried out by those who are online."""


class Kept(Protocol):
    """A stream that is kept open."""

    lost: Failure | None = None

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost = reason


class BanTests(PrivateCase):
    members = 5

    def setUp(self) -> None:
        super().setUp()
        self.banned = self.nodes[3]

    def others(self) -> list[SimulatedNode]:
        return [each for each in self.nodes if each is not self.banned]

    def test_all_links_of_a_banned_member_are_cut(self) -> None:
        losses: list[LinkLost] = []
        self.nodes[1].service.observe(LinkLost, losses.append)
        self.assertEqual(len(self.links_to(self.banned)), 4)
        self.ban(self.banned)
        self.net.run_for(IN_TIME)
        self.assertEqual(self.links_to(self.banned), [])
        self.assertEqual([each.reason for each in losses], [CloseReason.BANNED])
        for each in self.others():
            assert each.core is not None
            self.assertNotIn(self.banned.name, [entry.name for entry in each.core.table])
            self.assertNotIn(self.banned.name, [contact.name for contact in each.crust.saved_contacts()])

    def test_links_among_the_others_stay(self) -> None:
        losses: list[LinkLost] = []
        for each in self.others():
            each.service.observe(LinkLost, losses.append)
        self.ban(self.banned)
        self.net.run_for(30)
        self.assertEqual({each.link.name for each in losses}, {self.banned.name})

    def test_banned_member_does_not_come_back(self) -> None:
        self.ban(self.banned)
        self.net.run_for(120)
        self.assertEqual(self.links_to(self.banned), [])
        self.banned.crash()
        self.banned.restart()
        self.net.run_for(120)
        self.assertEqual(self.links_to(self.banned), [])
        self.assertTrue(self.logged("takes this node for no member", "banned", "by member-0"))

    def test_member_that_returns_refuses_it_as_soon_as_it_hears(self) -> None:
        """It was away when the ban was made, and the banned one waits for it."""
        away = self.nodes[4]
        away.crash()
        self.ban(self.banned)
        self.net.run_for(60)
        away.restart()
        self.net.run_until(lambda: away.joined, 10)
        self.net.run_for(IN_TIME)
        self.assertNotIn(away, self.links_to(self.banned))
        self.net.run_for(60)
        self.assertEqual(self.links_to(self.banned), [])

    def test_streams_of_a_banned_member_end_and_are_not_suspended(self) -> None:
        streams_of(self.banned.service).listen("kept", Factory.forProtocol(Kept))
        mine = self.nodes[1].service
        stream = self.net.result_of(
            streams_of(mine).open(self.banned.name, "kept", Factory.forProtocol(Kept))
        )
        self.ban(self.banned)
        self.net.run_for(IN_TIME)
        self.assertIsNotNone(stream.lost)
        self.assertEqual(streams_of(mine).status()["suspended"], {})

    def test_streams_that_wait_for_a_link_end_with_the_ban(self) -> None:
        """The member has gone silent first, so that its streams are suspended."""
        streams_of(self.banned.service).listen("kept", Factory.forProtocol(Kept))
        mine = self.nodes[1].service
        stream = self.net.result_of(
            streams_of(mine).open(self.banned.name, "kept", Factory.forProtocol(Kept))
        )
        self.banned.crash(silently=True)
        self.net.run_until(lambda: streams_of(mine).status()["suspended"], 120)
        self.assertIsNone(stream.lost)
        self.ban(self.banned)
        self.net.run_for(IN_TIME)
        self.assertIn("banned", str(stream.lost))
        self.assertEqual(streams_of(mine).status()["suspended"], {})

    def test_who_waits_for_a_link_with_it_is_told_at_once(self) -> None:
        self.banned.crash()
        self.net.run_for(1)
        waiting = self.nodes[1].service.connect(self.banned.name)
        self.ban(self.banned)
        error = self.assertRaises(PeerUnreachable, self.net.result_of, waiting, 3)
        self.assertIn("banned", str(error))
        explained = self.nodes[1].service.explain(self.banned.name)
        self.assertIn("it is banned", explained.next[0])
        again = self.nodes[1].service.connect(self.banned.name)
        self.assertRaises(PeerUnreachable, self.net.result_of, again, 1)

    def test_envelopes_of_a_banned_member_are_dropped_by_whatever_way_they_come(self) -> None:
        """A member that did not hear of the ban keeps its link to the banned one, and passes on for it."""
        heard: list[Message] = []
        target, friend = self.nodes[1], self.nodes[2]
        target.service.set_message_handler(heard.append)
        membership = self.membership_of(friend)
        membership.set_roster = lambda roster: None  # type: ignore[method-assign]
        self.ban(self.banned)
        self.net.run_for(IN_TIME)
        self.assertEqual(self.links_to(self.banned), [friend])
        sent = self.banned.service.send(target.name, b"it is me")
        sent.addErrback(lambda _: None)
        self.net.run_for(5)
        self.assertEqual(heard, [])
        # nor did the target look at the certificate that the first flight of a session shows
        self.assertFalse(self.logged("no session with"))

    def test_banned_member_is_in_no_close_group_that_others_name(self) -> None:
        """A member that did not hear of the ban keeps its link, and names the banned one."""
        self.membership_of(self.nodes[2]).set_roster = lambda roster: None  # type: ignore[method-assign]
        self.ban(self.banned)
        self.net.run_for(IN_TIME)
        core, friend = self.nodes[1].core, self.nodes[2].core
        assert core is not None
        assert friend is not None
        self.assertIn(self.banned.name, friend.neighbourhood.close_group(self.banned.name))
        found = self.net.result_of(core.lookup.look_up(self.banned.name, of=self.nodes[2].name))
        self.assertNotIn(self.banned.name, found.members)
        self.assertIn(self.nodes[2].name, found.members)

    def test_banned_member_logs_and_shows_that_it_is_banned(self) -> None:
        """The ban has reached it before its links are gone, or at the next start."""
        statement = self.ban(self.banned)
        self.net.run_for(IN_TIME)
        self.private(self.banned).add_statements([statement])
        self.assertTrue(self.logged("this node is banned by member-0"))
        status = self.banned.service.status()["membership"]
        assert isinstance(status, dict)
        self.assertIn("it is banned", status["problem"])


class IssuerTests(PrivateCase):
    """Certificates of who is banned are worth nothing, and those of who is revoked neither."""

    def inviter(self) -> tuple[SimulatedNode, SimulatedNode]:
        """An inviter, and the member that it has let in."""
        roles = (MemberRole.NODE, MemberRole.RELAY, MemberRole.INVITE)
        identity = self.net.new_identity()
        membership = self.founder.membership(identity, nickname="inviter", roles=roles)
        inviter = self.net.node(identity=identity, membership=membership)
        guest = self.net.new_identity()
        issuer = Issuer(identity, membership.certificate)
        signed = issuer.issue(guest.name, "guest", (MemberRole.NODE,), self.net.clock.seconds())
        node = self.net.node(identity=guest, membership=type(membership)(signed))
        self.net.run_until(self.net.joined)
        return inviter, node

    def test_members_that_a_banned_inviter_has_let_in_are_cut_too(self) -> None:
        inviter, guest = self.inviter()
        self.assertTrue(self.links_to(guest))
        self.ban(inviter)
        self.net.run_for(IN_TIME)
        left = [each for each in self.links_to(guest) if each is not inviter]
        self.assertEqual(left, [])
        self.assertTrue(self.logged("refused", "guest") or self.logged("takes this node for no member"))

    def test_revoked_certificate_ends_the_links_of_its_member(self) -> None:
        node = self.nodes[2]
        own = self.membership_of(node).certificate.certificate
        roster = Roster(self.founder.network)
        statement = self.founder.issuer().revoke(node.name, own.serial + 1, roster, self.net.clock.seconds())
        self.private(self.admin).add_statements([statement])
        self.net.run_for(IN_TIME)
        self.assertEqual(self.links_to(node), [])

    def test_certificate_that_ends_while_there_are_links_ends_them(self) -> None:
        """Nobody is there who could renew it."""
        identity = self.net.new_identity()
        membership = self.founder.membership(identity, nickname="guest", lifetime=0.5 * DAY)
        node = self.net.node(identity=identity, membership=membership)
        self.net.run_until(self.net.joined)
        self.admin.crash()
        self.net.run_for(60)
        self.assertTrue(self.links_to(node))
        for each in self.net.alive:
            each.jump_clock(3 * DAY)
        self.net.run_for(700)
        self.assertEqual(self.links_to(node), [])
