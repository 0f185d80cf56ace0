"""Bugs in private networks."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a silent name server holds up the addresses of an invitation",
        "routing/inviting/redeemer.py",
        "        if fresh:\n",
        "        if fresh and not self._sought:\n",
        ("tests.routing.inviting.test_redeeming.RedeemingTests",),
    ),
    Mutant(
        "a new member keeps the address that a host name had",
        "routing/inviting/redeemer.py",
        "        if host is None:\n",
        "        if True:\n",
        ("tests.routing.inviting.test_redeeming.RedeemingTests",),
    ),
    Mutant(
        "all admins stand in for one inviter at a time",
        "routing/inviting/doorkeeper.py",
        "for each in (inviter, *before))",
        "for each in (inviter,))",
        (
            "tests.routing.inviting.test_standing_in.StandingInTests.test_admin_that_is_linked_with_the_inviter_does_not_stand_in",
        ),
    ),
    Mutant(
        "every change of an invitation is told at once, with all others",
        "routing/private/ledger_sync.py",
        "clock.callLater(wait, self._tell_all)",
        "clock.callLater(0, self._tell_all)",
        (
            "tests.routing.inviting.test_standing_in.StandingInTests.test_changes_in_quick_succession_are_told_together",
        ),
    ),
    Mutant(
        "a member that does not read is told of all invitations at once",
        "routing/private/ledger_sync.py",
        "                    if not link.writable:\n",
        "                    if False:\n",
        (
            "tests.routing.private.test_ledger_sync.LedgerSyncTests.test_peer_that_does_not_read_is_waited_for",
        ),
    ),
    Mutant(
        "a mistake in telling of invitations is in no log",
        "routing/private/ledger_sync.py",
        "    if not failure.check(LinkClosed):\n",
        "    if False:\n",
        (
            "tests.routing.private.test_ledger_sync.LedgerSyncTests.test_mistake_in_what_is_told_is_in_the_log",
        ),
    ),
    Mutant(
        "invitations are told to a member that does not read again and again",
        "routing/private/ledger_sync.py",
        "        if peer.link in self._telling:\n",
        "        if False:\n",
        (
            "tests.routing.private.test_ledger_sync.LedgerSyncTests.test_what_changes_meanwhile_is_told_once_more",
        ),
    ),
    Mutant(
        "each frame about invitations waits for the disk",
        "daemon/members/kept_ledger.py",
        "        self.ledger, self._is_saved = after, False\n",
        "        self.keep(after)\n",
        (
            "tests.daemon.members.test_invitation_desk.RedeemingTests.test_what_members_tell_is_written_when_asked_for",
        ),
    ),
    Mutant(
        "a new link brings a member new comparisons of rosters",
        "routing/private/roster_sync.py",
        "        self._asked.pop(peer.name, None)\n",
        "        self._asked.pop(peer.name, None)\n        self._rates._limits.pop(peer.name, None)\n",
        ("tests.routing.private.test_roster_sync.LiarTests.test_new_link_brings_no_new_comparisons",),
    ),
    Mutant(
        "invitations die with their inviter",
        "routing/inviting/doorkeeper.py",
        "        if now < waiting.until and self._stands_in_for(waiting.redeem):\n",
        "        if False:\n",
        ("tests.routing.inviting.test_standing_in.StandingInTests.test_last_admin_lets_in_who_dials_it",),
    ),
    Mutant(
        "who waits to be dialled by its inviter is turned away",
        "routing/inviting/doorkeeper.py",
        "is_expected = link.direction is Direction.ACCEPTED or self.calls.is_called(link)",
        "is_expected = link.direction is Direction.ACCEPTED",
        (
            "tests.routing.inviting.test_redeeming.RedeemingTests.test_inviter_that_nobody_can_dial_dials_who_waits_with_its_invitation",
        ),
    ),
    Mutant(
        "a link without a certificate is let into a private network",
        "routing/private/private_members.py",
        "        if not shown:\n            return TurnedAway(",
        "        if not shown:\n            return None\n            return TurnedAway(",
        ("tests.routing.private.test_admission.RefusalTests.test_stranger_without_a_certificate_is_refused",),
    ),
    Mutant(
        "who may only be a client is let in as a node",
        "routing/private/private_members.py",
        "if not (own.may_be_node or is_client):",
        "if False:",
        ("tests.routing.private.test_admission.RefusalTests.test_member_that_may_be_a_client_is_no_node",),
    ),
    Mutant(
        "a ban leaves the links of the banned as they are",
        "routing/private/expulsion.py",
        "        self.close_links()\n        for name in sorted",
        "        for name in sorted",
        ("tests.routing.private.test_expulsion.BanTests.test_all_links_of_a_banned_member_are_cut",),
    ),
    Mutant(
        "a ban is told to nobody else",
        "routing/private/roster_sync.py",
        "            if peer.link is not came_by:\n                self._send(peer.link, new)",
        "            if peer.link is came_by:\n                self._send(peer.link, new)",
        (
            "tests.routing.private.test_roster_sync.FloodTests.test_statement_made_at_one_member_reaches_all_at_once",
        ),
    ),
    Mutant(
        "rosters that differ are not compared",
        "routing/private/roster_sync.py",
        "        if peer.facts.roster != self._members.digest:\n",
        "        if False:\n",
        (
            "tests.routing.private.test_roster_sync.ComparisonTests.test_member_that_was_away_hears_of_it_when_it_returns",
        ),
    ),
    Mutant(
        "statements are kept that do not hold",
        "routing/private/private_members.py",
        '            if problem:\n                raise WireError(f"a statement of',
        '            if False:\n                raise WireError(f"a statement of',
        ("tests.routing.private.test_roster_sync.LiarTests.test_statement_that_does_not_hold_ends_the_link",),
    ),
    Mutant(
        "rosters are compared as often as a peer likes",
        "routing/private/roster_sync.py",
        "        if not self._rates.take(link.peer):\n",
        "        if False:\n",
        (
            "tests.routing.private.test_roster_sync.LiarTests.test_comparisons_without_end_are_answered_a_few_times",
        ),
    ),
    Mutant(
        "envelopes of a banned member are taken from others",
        "routing/private/private_members.py",
        "return self.roster.ban_of(name) is not None",
        "return False",
        (
            "tests.routing.private.test_expulsion.BanTests.test_envelopes_of_a_banned_member_are_dropped_by_whatever_way_they_come",
        ),
    ),
    Mutant(
        "certificates of members are taken that nobody might issue",
        "routing/private/private_members.py",
        "            if not genuine(signed, self._membership.network, self._identity):\n",
        "            if False:\n",
        (
            "tests.routing.private.test_directory_sync.LiarTests.test_forged_signature_ends_the_link",
            "tests.routing.private.test_directory_sync.LiarTests.test_member_that_nobody_may_have_issued_ends_the_link",
        ),
    ),
    Mutant(
        "an inviter can give an admin a certificate without its role",
        "routing/private/private_members.py",
        "        if self.own.certificate.may_issue and signed.issuer_certificate is not None:\n",
        "        if False:\n",
        (
            "tests.routing.private.test_directory_sync.NeverMetTests.test_inviter_cannot_replace_the_certificate_of_an_admin",
        ),
    ),
    Mutant(
        "new members are told to nobody else",
        "routing/private/directory_sync.py",
        "            self._send(peer.link, told)\n",
        "            pass\n",
        (
            "tests.routing.private.test_directory_sync.NeverMetTests.test_certificate_that_one_member_learns_reaches_all",
        ),
    ),
    Mutant(
        "directories of members are compared at the start only",
        "routing/private/directory_sync.py",
        "        if peers:\n            self._compare(",
        "        if False:\n            self._compare(",
        (
            "tests.routing.private.test_directory_sync.NeverMetTests.test_comparison_makes_up_for_news_that_were_lost",
        ),
    ),
    Mutant(
        "banned members are told of to others",
        "routing/private/membership.py",
        "            roster.ban_of(each.certificate.name) is None\n            and ",
        "            True\n            and ",
        ("tests.routing.private.test_directory_sync.NeverMetTests.test_banned_member_is_told_of_no_more",),
    ),
    Mutant(
        "the later holder of a nickname is let in once it was heard of",
        "routing/private/private_members.py",
        "            if own.name == certificate.name:\n                return None\n",
        "            if certificate.name in self._known:\n                return None\n",
        (
            "tests.routing.private.test_directory_sync.NicknameTests.test_later_holder_is_refused_also_when_the_admin_has_heard_of_it_before_it_comes",
        ),
    ),
    Mutant(
        "links outlive the certificate of their peer",
        "routing/private/expulsion.py",
        "LOOK_EVERY_SECONDS, self._look)\n        self.close_links()",
        "LOOK_EVERY_SECONDS, self._look)",
        (
            "tests.routing.private.test_expulsion.IssuerTests.test_certificate_that_ends_while_there_are_links_ends_them",
        ),
    ),
    Mutant(
        "a certificate is renewed to who is banned or revoked",
        "routing/private/private_members.py",
        "or self._problem_but_for_time(signed) is not None:",
        "or False:",
        (
            "tests.routing.private.test_renewal.ExpiredTests.test_revoked_certificate_that_has_expired_gets_none",
        ),
    ),
    Mutant(
        "any certificate of ours is taken, an older one too",
        "routing/private/private_members.py",
        "        if signed.certificate.serial <= self.own.certificate.serial:\n",
        "        if False:\n",
        ("tests.routing.private.test_renewal.QuestionTests.test_older_certificate_of_ours_is_not_taken",),
    ),
    Mutant(
        "peers are not shown a new certificate",
        "routing/private/renewal.py",
        "        for peer in self._links.peers:\n            peer.link.send(FrameKind.RENEWAL, shown)",
        "        for peer in ():\n            peer.link.send(FrameKind.RENEWAL, shown)",
        ("tests.routing.private.test_renewal.UnaskedTests.test_peers_are_shown_the_new_certificate",),
    ),
    Mutant(
        "certificates are asked for when they have ended",
        "routing/private/renewal.py",
        "        if not wants_renewal(self._members.own.certificate, self._now()):",
        "        if not ends_soon(self._members.own.certificate, self._now()):",
        (
            "tests.routing.private.test_renewal.UnaskedTests.test_certificate_is_renewed_once_a_third_of_it_is_over",
        ),
    ),
    Mutant(
        "a wrong clock is not named",
        "routing/private/clock_watch.py",
        "        if is_apart and not self._is_apart:",
        "        if is_apart and self._is_apart:",
        (
            "tests.routing.private.test_clocks.WrongClockTests.test_member_whose_clock_is_a_day_ahead_is_let_in_and_told",
        ),
    ),
    Mutant(
        "an answer to an invitation need not be proven",
        "routing/inviting/redeemer.py",
        "if not attempt.is_answered_by(answer):",
        "if False:",
        (
            "tests.routing.inviting.test_redeeming.RedeemingTests.test_member_that_lies_about_the_inviter_is_not_believed",
        ),
    ),
    Mutant(
        "a short invitation of somebody else is passed on in vain",
        "routing/inviting/doorkeeper.py",
        "not (is_ours and not redeem.network)",
        "redeem.network",
        (
            "tests.routing.inviting.test_redeeming.StrangerTests.test_short_invitation_of_another_inviter_is_refused_at_once",
        ),
    ),
    Mutant(
        "an invitation may be tried as often as one likes",
        "routing/inviting/doorkeeper.py",
        "if not self._tries.take(prefix):",
        "if False:",
        ("tests.routing.inviting.test_redeeming.StrangerTests.test_tries_of_one_network_are_limited",),
    ),
    Mutant(
        "tries of one network of strangers take the places of all",
        "routing/inviting/doorkeeper.py",
        "if prefix == fullest)",
        "if prefix)",
        (
            "tests.routing.inviting.test_redeeming.PassingOnTests.test_no_network_of_strangers_keeps_others_from_an_inviter",
        ),
    ),
    Mutant(
        "who has not been asked answers for an inviter",
        "routing/inviting/doorkeeper.py",
        "if waiting is None or waiting.asked != source:",
        "if waiting is None:",
        ("tests.routing.inviting.test_redeeming.PassingOnTests.test_answer_of_another_member_is_ignored",),
    ),
    Mutant(
        "the beginning of a name is granted something",
        "routing/naming/directory.py",
        "            if is_prefix(who):\n",
        "            if is_prefix(who):\n                return self._find_prefix(who)\n",
        (
            "tests.routing.naming.test_directory.DirectoryTests.test_nothing_is_granted_to_the_beginning_of_a_name",
        ),
    ),
    Mutant(
        "the first of several names that begin alike is taken",
        "routing/naming/directory.py",
        "if len(found) == 1:",
        "if found:",
        (
            "tests.routing.naming.test_directory.DirectoryTests.test_beginning_of_several_names_is_refused_with_these",
        ),
    ),
    Mutant(
        "a certificate takes a nickname of the settings",
        "routing/naming/directory.py",
        "if own is not None or not is_nickname(text):",
        "if not is_nickname(text):",
        (
            "tests.routing.naming.test_directory.DirectoryTests.test_nickname_of_the_settings_goes_before_one_of_a_certificate",
        ),
    ),
    Mutant(
        "who is banned keeps what its tags give",
        "routing/naming/directory.py",
        "return None if members is None else members.current_of(name)",
        "return None if members is None else members.certificate_of(name)",
        (
            "tests.routing.naming.test_members_by_name.MembersByNameTests.test_tag_of_who_is_banned_allows_nothing",
        ),
    ),
    Mutant(
        "a nickname that somebody has is said to be nobody's",
        "routing/naming/directory.py",
        "if not self._directory.is_met(each))",
        "if self._directory.is_met(each))",
        (
            "tests.routing.naming.test_directory.DirectoryTests.test_nicknames_and_tags_that_nobody_has_are_told",
        ),
    ),
    Mutant(
        "a tag is a nickname too",
        "routing/naming/directory.py",
        "certificate.nickname in self._nicknames and",
        "certificate.nickname in (self._nicknames | self._tags) and",
        ("tests.routing.naming.test_directory.DirectoryTests.test_a_tag_is_nobodys_nickname",),
    ),
    Mutant(
        "a member that was away does not get the certificate that waits for it",
        "routing/private/renewal.py",
        "if newer is not None:",
        "if False:",
        (
            "tests.daemon.members.test_administration.TagTests.test_tag_that_was_given_while_its_member_and_then_the_admin_were_away",
        ),
    ),
    Mutant(
        "two members have one nickname",
        "routing/private/private_members.py",
        "self._holder_of_its_nickname(own) if self.own.certificate.is_admin else None",
        "None",
        ("tests.routing.private.test_admission.RefusalTests",),
    ),
)
