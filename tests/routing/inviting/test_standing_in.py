"""An invitation whose inviter is gone is redeemed with another admin, as often as it may be."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.daemon.control.member_messages import InvitationsCommand, InviteCommand
from routing_crust.daemon.members.invitation_desk import InvitationDesk
from routing_crust.daemon.members.surroundings import NodeSurroundings
from routing_crust.errors import JoinFailed
from routing_crust.identity import Identity
from routing_crust.names import Name
from routing_crust.routing.inviting.redeemer import Redeemer
from routing_crust.testing import SimulatedNetwork, SimulatedNode
from routing_crust.testing.memory.crust import MemoryCrust
from routing_crust.testing.private import ALL_ROLES
from routing_crust.trust.certificate import Certificate
from routing_crust.trust.invitation import Invitation
from routing_crust.trust.redeeming import RedeemRefusal, Redemption, Welcome

from ...daemon.fakes import temporary_directory


class StandingInTests(SynchronousTestCase):
    """Two more admins beside the founder, and two plain members."""

    def setUp(self) -> None:
        self.net = SimulatedNetwork(11, private=True)
        self.addCleanup(self.net.stop)
        founder = self.net.founder
        assert founder is not None
        self.founder = founder
        self.desks: dict[SimulatedNode, InvitationDesk] = {}
        self.admins = [self.net.node()]
        for number in range(2):
            key = self.net.new_identity()
            membership = founder.membership(key, nickname=f"admin-{number}", roles=ALL_ROLES)
            self.admins.append(self.net.node(identity=key, membership=membership))
        self.members = self.net.nodes(2)
        self.net.run_until(self.net.joined)
        for each in self.admins:
            self.opened(each)
        self.net.run_for(10)

    def opened(self, node: SimulatedNode) -> None:
        folder = temporary_directory(self)
        assert node.membership is not None
        desk = InvitationDesk(
            folder,
            "home",
            node.service.identity,
            node.membership,
            NodeSurroundings(node.service, folder),
            self.net.clock.seconds,
        )
        self.desks[node] = desk
        node.service.set_inviter(desk)

    def invite(self, node: SimulatedNode, **given: object) -> Invitation:
        reply = self.desks[node].invite(InviteCommand(**given))  # type: ignore[arg-type]
        self.net.run_for(2)
        return Invitation.from_text(reply.line)

    def redeemer(
        self, invitation: Invitation, *doors: SimulatedNode, key: Identity | None = None
    ) -> Redeemer:
        identity = key or self.net.new_identity()
        own = self.net.network.new_endpoint()
        settings = Settings(network=invitation.network, listen=(own,), lan_discovery=False)
        crust = MemoryCrust(self.net.network, settings, identity, (own,))

        def attempt(_: Name, binding: bytes) -> Redemption:
            return Redemption(
                invitation.network, invitation.inviter, invitation.secret, identity.name, binding
            )

        endpoints = [each.endpoint for each in doors]
        return Redeemer(crust, self.net.clock, attempt, endpoints, f"new-{identity.name.short}")

    def redeem(self, invitation: Invitation, *doors: SimulatedNode, key: Identity | None = None) -> Welcome:
        return self.net.result_of(self.redeemer(invitation, *doors, key=key).redeem())[0]

    def refused(self, invitation: Invitation, *doors: SimulatedNode) -> str:
        error = self.assertRaises(JoinFailed, self.net.result_of, self.redeemer(invitation, *doors).redeem())
        return str(error)

    def gone(self, *nodes: SimulatedNode) -> None:
        for each in nodes:
            each.crash()
        self.net.run_for(90)

    def uses(self, node: SimulatedNode) -> int:
        (found,) = self.desks[node].invitations(InvitationsCommand()).invitations
        return len(found["used_by"])

    def test_admin_lets_in_whom_a_gone_one_has_invited(self) -> None:
        invitation = self.invite(self.admins[1], nickname="laptop", tags=("web",))
        self.gone(self.admins[1])
        welcome = self.redeem(invitation, *self.members)
        self.assertEqual(welcome.label, "home")

    def test_last_admin_lets_in_who_dials_it(self) -> None:
        invitation = self.invite(self.admins[1])
        self.gone(*self.admins[1:])
        self.assertEqual(self.redeem(invitation, self.admins[0]).label, "home")

    def test_every_admin_is_a_door(self) -> None:
        for number in range(3):
            invitation = self.invite(self.admins[0])
            self.assertEqual(self.redeem(invitation, self.admins[number]).label, "home")

    def test_joining_works_with_half_of_the_admins_gone(self) -> None:
        invitations = [self.invite(each) for each in self.admins]
        self.gone(*self.admins[1:])
        for each in invitations:
            self.assertEqual(self.redeem(each, *self.members).label, "home")

    def test_uses_are_counted_wherever_they_are(self) -> None:
        invitation = self.invite(self.admins[1], uses=2)
        self.redeem(invitation, self.members[0])
        self.net.run_for(2)
        self.gone(self.admins[1])
        self.redeem(invitation, self.members[0])
        self.net.run_for(2)
        self.assertIn(RedeemRefusal.USED_UP.text, self.refused(invitation, self.members[1]))
        self.assertEqual([self.uses(self.admins[0]), self.uses(self.admins[2])], [2, 2])

    def test_changes_in_quick_succession_are_told_together(self) -> None:
        """Each time all is told, so that many in a moment would fill the links."""
        desk, told = self.desks[self.admins[0]], []
        self.net.run_for(2)
        tell = desk.told_to

        def told_to(peer: Certificate) -> Iterable[bytes]:
            told.append(peer.name)
            return tell(peer)

        self.patch(desk, "told_to", told_to)
        for _ in range(20):
            desk.invite(InviteCommand())
            self.net.run_for(0.02)
        self.net.run_for(2)
        self.assertEqual(len(told), 2 * len(set(told)))
        found = self.desks[self.admins[1]].invitations(InvitationsCommand()).invitations
        self.assertEqual(len(found), 20)

    def test_inviter_that_returns_hears_of_uses(self) -> None:
        inviter = self.admins[1]
        invitation = self.invite(inviter)
        self.gone(inviter)
        self.redeem(invitation, self.members[0])
        inviter.restart()
        inviter.service.set_inviter(self.desks[inviter])
        self.net.run_until(lambda: inviter.joined)
        self.net.run_for(10)
        self.assertEqual(self.uses(inviter), 1)
        self.assertIn(RedeemRefusal.USED_UP.text, self.refused(invitation, inviter))

    def test_one_of_several_stand_ins_counts_at_a_time(self) -> None:
        """Two redeem at once, at two doors, what one may redeem."""
        invitation = self.invite(self.admins[1])
        self.gone(self.admins[1])
        tries = [self.redeemer(invitation, each).redeem() for each in (self.admins[0], self.admins[2])]
        outcomes: list[object] = []
        for each in tries:
            each.addBoth(outcomes.append)
        self.net.run_until(lambda: len(outcomes) == 2)
        self.assertEqual(sum(isinstance(each, tuple) for each in outcomes), 1)

    def test_admin_that_is_linked_with_the_inviter_does_not_stand_in(self) -> None:
        """A node that passes a try on may say that the inviter is gone."""
        invitation = self.invite(self.admins[1], uses=1)
        core = self.admins[0].core
        assert core is not None
        redeem = Redemption(
            invitation.network, invitation.inviter, invitation.secret, self.net.new_identity().name, b"b"
        ).ask((2,), "laptop")
        self.assertFalse(core.doorkeeper._stands_in_for(redeem))
        self.gone(self.admins[1])
        stands_in = [
            each.core is not None and each.core.doorkeeper._stands_in_for(redeem)
            for each in (self.admins[0], self.admins[2])
        ]
        self.assertEqual(sorted(stands_in), [False, True])

    def test_invitation_that_is_taken_back_is_dead_at_all_admins(self) -> None:
        inviter = self.admins[1]
        invitation = self.invite(inviter)
        desk = self.desks[inviter]
        (found,) = desk.invitations(InvitationsCommand()).invitations
        desk.invitations(InvitationsCommand(found["id"]))
        self.net.run_for(2)
        self.assertIn(RedeemRefusal.VOID.text, self.refused(invitation, inviter))
        self.gone(inviter)
        self.assertIn(RedeemRefusal.VOID.text, self.refused(invitation, self.members[0]))

    def test_dead_invitation_fails_soon_and_says_whom_it_tried(self) -> None:
        key = self.net.new_identity()
        lonely = self.founder.membership(key, nickname="lonely", roles=ALL_ROLES)
        invitation = Invitation(lonely.network, key.name, (), b"s" * 16, int(self.net.clock.seconds()) + 900)
        began = self.net.clock.now
        text = self.refused(invitation, *self.members)
        for each in self.members:
            self.assertIn(f"{each.endpoint}: {RedeemRefusal.INVITER_GONE.text}", text)
        self.assertLess(self.net.clock.now - began, 10)

    def test_places_where_nobody_is_fail_within_some_rounds(self) -> None:
        invitation = self.invite(self.admins[1])
        self.gone(*self.members)
        began = self.net.clock.now
        self.assertIn("nobody has let this machine in", self.refused(invitation, *self.members))
        self.assertLess(self.net.clock.now - began, 12)
