"""Bugs in certificates, rosters and invitations."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "an inviter gains tags by telling an admin of an invitation",
        "trust/ledger_sharing.py",
        " and entry.tags <= peer.tags\n",
        "\n",
        (
            "tests.trust.test_ledger_sharing.BelievingTests.test_inviter_gains_no_tag_by_telling_of_an_invitation",
        ),
    ),
    Mutant(
        "an inviter fills the ledgers of admins with users",
        "trust/ledger_sharing.py",
        "    if len(entry.used_by) <= most:\n",
        "    if True:\n",
        (
            "tests.trust.test_ledger_sharing.BelievingTests.test_users_that_an_inviter_tells_of_are_bounded",
            "tests.trust.test_ledger_sharing.BelievingTests.test_users_of_all_invitations_of_an_inviter_are_bounded",
        ),
    ),
    Mutant(
        "one issuer fills the directory of members",
        "trust/member_directory.py",
        "                self._share_of_each = min(self._share_of_each, share)\n",
        "                pass\n",
        ("tests.trust.test_member_directory.BoundTests.test_issuer_of_many_crowds_out_none_but_his_own",),
    ),
    Mutant(
        "the proof of an invitation is good on every link",
        "trust/redeeming.py",
        "            self.binding,\n            *said,",
        "            *said,",
        ("tests.routing.inviting.test_redeeming.StrangerTests.test_proof_is_good_on_its_own_link_only",),
    ),
    Mutant(
        "an admin makes other admins",
        "trust/judging.py",
        '    if certificate.may_issue:\n        return "only',
        '    if False:\n        return "only',
        ("tests.trust.test_judging", "tests.trust.test_certificates.IssuingTests"),
    ),
    Mutant(
        "certificates of a banned admin stay good",
        "trust/judging.py",
        "return _banned(roster.ban_of(issuer.name), Problem.ISSUER_BANNED) or _revoked(",
        "return _revoked(",
        ("tests.trust.test_judging",),
    ),
    Mutant(
        "only the member's own signature is checked",
        "trust/judging.py",
        "all(each.is_signed(verifier) for each in chain)",
        "signed.is_signed(verifier)",
        (
            "tests.trust.test_judging.JudgeTests.test_admin_s_certificate_that_the_authority_has_not_signed_is_refused",
        ),
    ),
    Mutant(
        "an inviter gives any tag",
        "trust/judging.py",
        "if foreign and not issuer.is_admin:",
        "if False:",
        (
            "tests.trust.test_judging.JudgeTests.test_what_an_issuer_may_not_give_is_refused_though_it_has_signed_it",
        ),
    ),
    Mutant(
        "inviters ban",
        "trust/roster.py",
        "or not issuer.is_admin or",
        "or",
        ("tests.trust.test_roster.MergeTests.test_inviters_and_members_are_not_heard",),
    ),
    Mutant(
        "an admin pardons",
        "trust/roster.py",
        "if said.kind is StatementKind.PARDON:\n            return",
        "if False:\n            return",
        ("tests.trust.test_roster.CountTests.test_only_the_authority_pardons",),
    ),
    Mutant(
        "an admin's ban silences another admin",
        "trust/roster.py",
        "if ban is not None and ban.is_of_authority:",
        "if ban is not None:",
        ("tests.trust.test_roster.CountTests",),
    ),
    Mutant(
        "a ban outlives a pardon",
        "trust/roster.py",
        'if said.after == (b"" if pardon is None else pardon.id):',
        "if True:",
        ("tests.trust.test_roster.CountTests",),
    ),
    Mutant(
        "two invitations are taken for a mistyped one",
        "trust/invitation.py",
        "    if count > 1:\n",
        "    if False:\n",
        ("tests.daemon.commands.test_joining.BadTests.test_two_invitations_at_once_are_refused",),
    ),
    Mutant(
        "an invitation is used again and again",
        "trust/ledger.py",
        "len(self.used_by) >= self.uses",
        "False",
        ("tests.trust.test_invitation.LedgerTests",),
    ),
    Mutant(
        "addresses push host names over the end of an invitation",
        "trust/invitation.py",
        "    while kept and _room_after(hosts, kept) < 0:\n",
        "    while False:\n",
        ("tests.trust.test_invitation.LineTests",),
    ),
    Mutant(
        "the characters of a short invitation are not checked",
        "trust/short_invitation.py",
        "read is None or read.text != typed:",
        "read is None:",
        ("tests.trust.test_short_invitation.ShortInvitationTests.test_wrong_character_is_noticed",),
    ),
    Mutant(
        "guesses at short invitations can be made before one is",
        "trust/short_invitation.py",
        "salt=_LABEL + _place(self.endpoint)",
        "salt=_LABEL",
        (
            "tests.trust.test_short_invitation.ShortInvitationTests.test_secret_depends_on_the_place_and_on_the_bits",
        ),
    ),
    Mutant(
        "mistyped invitations are looked for in the wrong place",
        "trust/invitation.py",
        "(weighted + 11 * (place + 1))",
        "(weighted // 2)",
        ("tests.trust.test_invitation.LineTests",),
    ),
    Mutant(
        "statements in the roster's file are not checked",
        "trust/state_files.py",
        "return None if statement_problem(statement, network, verifier) else statement",
        "return statement",
        ("tests.trust.test_state_files.RosterFileTests",),
    ),
    Mutant(
        "a statement that is gone from the roster's file is not missed",
        "trust/state_files.py",
        "head == [network, roster.digest.hex()]",
        "head[0] == network",
        ("tests.trust.test_state_files.RosterFileTests",),
    ),
    Mutant(
        "any authority key will do",
        "trust/state_files.py",
        "if network is not None and not is_authority_of(authority, network):",
        "if False:",
        ("tests.trust.test_state_files.AuthorityFileTests",),
    ),
    Mutant(
        "a certificate file may be edited",
        "trust/state_files.py",
        "if not all(each.is_signed(verifier) for each in chain if each is not None):",
        "if False:",
        ("tests.trust.test_state_files.CertificateFileTests.test_edited_certificate_is_refused",),
    ),
    Mutant(
        "forged certificates in the list of members are used",
        "trust/state_files.py",
        "return signed if good and signed.certificate.network == network else None",
        "return signed",
        ("tests.trust.test_state_files.MembersFileTests",),
    ),
)
