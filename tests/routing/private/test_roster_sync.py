"""All members come to hold the same statements, even if some are away and others hold them back."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import patch

from routing_crust.config import Role
from routing_crust.errors import CloseReason, WireError
from routing_crust.routing.private import roster_sync
from routing_crust.testing.host import SimulatedNode
from routing_crust.trust.issuing import Issuer
from routing_crust.trust.roster import Roster
from routing_crust.trust.statement import (
    STATEMENT_LABEL,
    SignedStatement,
    Statement,
    StatementKind,
    encode_statement_body,
    signed_statement,
)
from routing_crust.wire.codec import encode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.members import RosterIds, RosterStatements

from .private_case import PrivateCase, Stranger


class SyncCase(PrivateCase):
    members = 5

    def statements(self, count: int) -> list[SignedStatement]:
        """Bans of keys that nobody has, by the authority."""
        issuer = Issuer(self.founder.authority)
        roster = Roster(self.founder.network)
        return [issuer.ban(self.net.new_identity().name, roster, 1_750_000_000) for _ in range(count)]

    def digests(self) -> set[bytes]:
        return {self.membership_of(each).roster.digest for each in self.net.alive}

    def held(self, node: SimulatedNode) -> int:
        return len(self.membership_of(node).roster)


class FloodTests(SyncCase):
    def test_statement_made_at_one_member_reaches_all_at_once(self) -> None:
        self.private(self.nodes[3]).add_statements(self.statements(2))
        self.net.run_for(0.2)
        self.assertEqual([self.held(each) for each in self.nodes], [2] * 5)
        self.assertEqual(len(self.digests()), 1)

    def test_statement_is_not_sent_back_to_who_sent_it(self) -> None:
        """Each of 5 members sends it to 4, less the one that it came by."""
        with patch.object(roster_sync, "_send_all", wraps=roster_sync._send_all) as sent:
            self.private(self.admin).add_statements(self.statements(1))
            self.net.run_for(0.2)
        self.assertEqual(sent.call_count, 4 + 4 * 3)

    def test_many_statements_go_in_frames_of_a_few(self) -> None:
        self.private(self.admin).add_statements(self.statements(40))
        self.net.run_for(0.5)
        self.assertEqual({self.held(each) for each in self.nodes}, {40})

    def test_statements_that_are_known_change_nothing(self) -> None:
        statements = self.statements(2)
        self.assertEqual(self.private(self.admin).add_statements(statements), 2)
        self.assertEqual(self.private(self.admin).add_statements(statements), 0)

    def test_client_hears_of_it_by_its_proxy(self) -> None:
        client = self.net.node(role=Role.CLIENT)
        self.net.run_until(lambda: client.connected)
        self.private(self.admin).add_statements(self.statements(1))
        self.net.run_for(0.3)
        self.assertEqual(self.held(client), 1)


class ComparisonTests(SyncCase):
    def test_member_that_was_away_hears_of_it_when_it_returns(self) -> None:
        away = self.nodes[4]
        away.crash()
        self.net.run_for(1)
        self.private(self.admin).add_statements(self.statements(3))
        self.net.run_for(1)
        self.assertEqual(self.held(away), 0)
        away.restart()
        self.net.run_until(lambda: self.held(away) == 3, 5)

    def test_two_parts_that_were_apart_tell_each_other(self) -> None:
        """Each has statements that the other lacks."""
        one, other = self.nodes[:2], self.nodes[2:]
        self.net.partition(one, other)
        self.private(one[0]).add_statements(self.statements(2))
        self.private(other[0]).add_statements(self.statements(3))
        self.net.run_for(90)
        self.assertEqual(len(self.digests()), 2)
        self.net.heal()
        self.net.run_until(lambda: len(self.digests()) == 1, 200)
        self.assertEqual({self.held(each) for each in self.nodes}, {5})

    def test_equal_rosters_are_not_compared(self) -> None:
        with patch.object(roster_sync.RosterSync, "_send_ids", side_effect=AssertionError("compared")):
            node = self.net.node()
            self.net.run_until(lambda: node.joined)

    def test_ids_in_several_frames_are_one_comparison(self) -> None:
        away = self.nodes[4]
        away.crash()
        self.private(self.admin).add_statements(self.statements(7))
        self.net.run_for(1)
        with patch.object(roster_sync, "IDS_IN_A_FRAME", 3):
            away.restart()
            self.net.run_until(lambda: self.held(away) == 7, 5)


class LiarTests(SyncCase):
    """A member that does not keep to the rules: its links end, or it gets nothing by it."""

    def setUp(self) -> None:
        super().setUp()
        self.stranger = Stranger(self)
        self.stranger.shows(self.founder.membership(self.stranger.identity))
        self.link = self.stranger.dial(self.admin)
        self.link.confirms = True
        self.link.confirm()
        self.net.run_for(1)

    def assert_ended(self, reason: CloseReason) -> None:
        self.net.run_for(1)
        self.assertEqual(self.stranger.goodbye, reason)
        self.assertEqual(self.held(self.admin), 0)

    def test_statement_that_does_not_hold_ends_the_link(self) -> None:
        (good,) = self.statements(1)
        forged = good.encoded.replace(good.signature, bytes(64))
        self.link.send(FrameKind.ROSTER, encode(RosterStatements((forged,))))
        self.assert_ended(CloseReason.PROTOCOL_ERROR)

    def test_statement_of_a_member_that_is_no_admin_ends_the_link(self) -> None:
        """A member signs a ban of the admin."""
        own = self.founder.membership(self.stranger.identity).certificate
        statement = Statement(self.founder.network, StatementKind.BAN, self.admin.name, 1_750_000_000)
        body = encode_statement_body(statement)
        signature = self.stranger.identity.sign(STATEMENT_LABEL, self.founder.network, body)
        forged = signed_statement(statement, body, signature, own)
        self.link.send(FrameKind.ROSTER, encode(RosterStatements((forged.encoded,))))
        self.assert_ended(CloseReason.PROTOCOL_ERROR)

    def test_ids_that_are_cut_short_end_the_link(self) -> None:
        self.link.send(FrameKind.ROSTER_IDS, encode(RosterIds(bytes(15))))
        self.assert_ended(CloseReason.PROTOCOL_ERROR)

    def test_more_ids_than_a_roster_can_have_end_the_link(self) -> None:
        with patch.object(roster_sync, "MAX_ROSTER_STATEMENTS", 100):
            for _ in range(2):
                self.link.send(FrameKind.ROSTER_IDS, encode(RosterIds(bytes(16 * 60), more=True)))
            self.assert_ended(CloseReason.PROTOCOL_ERROR)

    def test_comparisons_without_end_are_answered_a_few_times(self) -> None:
        self.private(self.admin).add_statements(self.statements(1))
        self.net.run_for(1)
        self.stranger.frames.clear()
        for _ in range(100):
            self.link.send(FrameKind.ROSTER_IDS, encode(RosterIds(b"")))
        self.net.run_for(1)
        answers = self.stranger.kinds.count(FrameKind.ROSTER)
        self.assertEqual(answers, roster_sync.COMPARISONS_AT_ONCE)
        self.assertTrue(self.logged("compares rosters too often"))

    def test_new_link_brings_no_new_comparisons(self) -> None:
        """A member that breaks its link again and again gets no more of them than on one link."""
        self.private(self.admin).add_statements(self.statements(1))
        self.net.run_for(1)
        answers = 0
        for _ in range(3):
            self.stranger.frames.clear()
            for _ in range(20):
                self.link.send(FrameKind.ROSTER_IDS, encode(RosterIds(b"")))
            self.net.run_for(1)
            answers += self.stranger.kinds.count(FrameKind.ROSTER)
            self.link.close()
            self.net.run_for(1)
            self.link = self.stranger.dial(self.admin)
            self.link.confirms = True
            self.link.confirm()
            self.net.run_for(1)
        self.assertLessEqual(answers, roster_sync.COMPARISONS_AT_ONCE + 1)

    def test_frame_of_the_roster_before_the_hello_ends_the_link(self) -> None:
        eager = Stranger(self)
        frame = encode(RosterStatements(tuple(each.encoded for each in self.statements(1))))

        def up(link: object, kind: int, payload: bytes) -> None:
            link.on_frame = eager.received  # type: ignore[attr-defined]
            link.send(FrameKind.ROSTER, frame)  # type: ignore[attr-defined]

        eager.raider.dial(self.admin, eager.identity, up)
        self.net.run_for(1)
        self.assertEqual(eager.goodbye, CloseReason.PROTOCOL_ERROR)
        self.assertEqual(self.held(self.admin), 0)

    def test_bad_statements_of_our_own_raise(self) -> None:
        (good,) = self.statements(1)
        bad = replace(good, signature=bytes(64), id=bytes(16))
        self.assertRaises(WireError, self.private(self.admin).add_statements, [bad])
        self.assertEqual(self.held(self.admin), 0)
