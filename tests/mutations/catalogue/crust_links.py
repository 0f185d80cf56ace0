"""Bugs in links and their TLS."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a peer that sends its Hello early looks near",
        "crust/link/link.py",
        "        self._decoder.limit = MAX_FRAME_BYTES\n",
        "        self._decoder.limit = MAX_FRAME_BYTES\n        self.round_trip.smoothed = 0.0\n",
        (
            "tests.crust.link.test_liveness.RoundTripTests.test_peer_that_sends_its_hello_early_looks_no_nearer",
            "tests.crust.link.test_liveness.RoundTripTests.test_handshake_gives_a_first_guess",
        ),
    ),
    Mutant(
        "what TLS sends of its own does not count before the Hello",
        "crust/link/tls.py",
        "if self._allowance < 0 and not self._verified:",
        "if self._allowance < 0 and not self._handshakeDone:",
        (
            "tests.crust.link.test_strangers.StrangerTests.test_key_updates_without_frames_are_cut_at_the_limit",
        ),
    ),
    Mutant(
        "what TLS sends of its own does not count after the Hello",
        "crust/link/tls.py",
        "if self._allowance < 0 and self._verified:",
        "if False:",
        (
            "tests.crust.link.test_strangers.StrangerTests.test_key_updates_without_frames_are_cut_at_the_limit",
        ),
    ),
    Mutant(
        "TLS: any node that answers will do",
        "crust/link/certificates.py",
        "wanted = [own] if expected is None else",
        "wanted = [own] if True else",
        ("tests.crust.link.test_tls.SessionTests.test_known_certificate_is_not_parsed_again",),
    ),
    Mutant(
        "TLS: a node of another version is just a stranger",
        "crust/link/tls.py",
        "if theirs is None:",
        "if True:",
        ("tests.crust.link.test_strangers.StrangerTests.test_client_of_another_version_is_told_apart",),
    ),
    Mutant(
        "TLS: a wildcard in the certificate passes",
        "crust/link/certificates.py",
        ' or "*" in names[0].value',
        "",
        ("tests.crust.link.test_tls.CertificateTests.test_wrong_name_in_certificate_is_refused",),
    ),
    Mutant(
        "TLS: nobody verifies the name in the certificate",
        "crust/link/certificates.py",
        "verify_service_identity([shown.pattern], wanted, [])",
        "pass",
        (
            "tests.crust.link.test_impersonation.ImpersonationTests.test_client_with_the_victims_name_and_its_own_key_is_refused",
        ),
    ),
    Mutant(
        "TLS: each record is read over the one before",
        "crust/tls/places.py",
        "        at += result\n",
        "        at = max(at, result)\n",
        ("tests.crust.tls.test_transport.PieceTests.test_protocol_is_given_all_records_of_a_read_at_once",),
    ),
    Mutant(
        "TLS: the second piece of a read is put over the first",
        "crust/tls/transport.py",
        "        begin = self._read_end\n",
        "        begin = 0\n",
        ("tests.crust.tls.test_transport.PieceTests.test_large_read_goes_through_in_pieces",),
    ),
    Mutant(
        "TLS: what was delivered stays in its place",
        "crust/tls/transport.py",
        "        self._read_end = 0\n        if end",
        "        if end",
        ("tests.crust.tls.test_transport.PieceTests.test_large_read_goes_through_in_pieces",),
    ),
    Mutant(
        "TLS: the second piece of a write is put over the first",
        "crust/tls/transport.py",
        "self._written_end = take_written(self._tlsConnection, self._written_end)",
        "take_written(self._tlsConnection, 0)",
        ("tests.crust.tls.test_transport.PieceTests.test_large_write_is_handed_on_in_pieces",),
    ),
    Mutant(
        "TLS: what came before a damaged record is dropped",
        "crust/tls/transport.py",
        "        if end and not self._aborted:",
        "        if end and not self._aborted and failure is None:",
        (
            "tests.crust.tls.test_transport.EndTests.test_damaged_record_ends_the_connection_after_what_came_before_it",
        ),
    ),
    Mutant(
        "TLS: the peer's close_notify is not noticed",
        "crust/tls/transport.py",
        "            is_over = True",
        "            pass",
        ("tests.crust.tls.test_transport.EndTests.test_what_was_written_comes_before_the_end",),
    ),
    Mutant(
        "TLS: an aborted connection still delivers",
        "crust/tls/transport.py",
        "        if end and not self._aborted:",
        "        if end:",
        (
            "tests.crust.tls.test_transport.EndTests.test_nothing_is_delivered_after_an_abort_in_the_handshake",
        ),
    ),
    Mutant(
        "TLS: the last record of the handshake's read is not looked for",
        "crust/tls/transport.py",
        "            count = _ALL",
        "            count = 0",
        (
            "tests.crust.tls.test_transport.SessionTests.test_writes_before_the_handshake_come_after_it_in_order",
        ),
    ),
    Mutant(
        "TLS: the producer that waited for the handshake is not resumed",
        "crust/tls/transport.py",
        "        if self._appSendBuffer:",
        "        if False:",
        ("tests.crust.tls.test_transport.SessionTests.test_push_producer_waits_for_the_handshake",),
    ),
    Mutant(
        "TLS: the rest of a write before the handshake is lost",
        "crust/tls/transport.py",
        "whole[at + taken :].tobytes()",
        "piece[taken:].tobytes()",
        (
            "tests.crust.tls.test_transport.SessionTests.test_writes_before_the_handshake_come_after_it_in_order",
        ),
    ),
    Mutant(
        "TLS: what OpenSSL has written is taken out only in part",
        "crust/tls/places.py",
        "_written + at, PLACE_BYTES - at)",
        "_written + at, PIECE_BYTES)",
        ("tests.crust.tls.test_transport.PieceTests.test_large_write_is_handed_on_in_pieces",),
    ),
    Mutant(
        "TLS: a record that was cut is counted where it begins",
        "crust/tls/records.py",
        "count = int(0 < at <= end)",
        "count = int(0 < at)",
        ("tests.crust.tls.test_records.RecordCounterTests.test_record_counts_where_it_ends",),
    ),
    Mutant(
        "TLS: bytes that are no record are waited for",
        "crust/tls/records.py",
        "if at <= end or kind != _APPLICATION_DATA or version != _VERSION or length > _MAX_LENGTH:",
        "if at <= end:",
        ("tests.crust.tls.test_transport.EndTests.test_header_that_cannot_be_ends_the_connection_at_once",),
    ),
    Mutant(
        "bytes of the handshake do not count before the Hello",
        "crust/link/tls.py",
        "        self._allowance -= len(piece)",
        "        self._allowance -= len(piece) if self._handshakeDone else 0",
        ("tests.crust.link.test_strangers", "tests.crust.link.test_factories"),
    ),
    Mutant(
        "TLS: without the application protocol",
        "crust/link/tls.py",
        "if connection.get_alpn_proto_negotiated() != self._alpn:",
        "if False:",
        ("tests.crust.link.test_tls.SessionTests.test_both_ends_require_our_application_protocol",),
    ),
    Mutant(
        "each link has a share of its own",
        "crust/link/reading.py",
        "share = self._shares.get(prefix)",
        "share = None",
        ("tests.crust.link.test_reading.ReadingTests.test_many_links_of_one_prefix_have_one_share",),
    ),
    Mutant(
        "frames that wait are lost with the connection",
        "crust/link/receiving.py",
        "if self._reason is None and self._decoder.waiting:",
        "if False:",
        (
            "tests.crust.link.test_reading.ReadingTests.test_frames_before_the_end_of_the_connection_are_delivered",
        ),
    ),
    Mutant(
        "a link with frames that wait is read on",
        "crust/link/receiving.py",
        "        self._waits = True\n        if self._reading and self._reason is None:",
        "        self._waits = True\n        if False:",
        ("tests.crust.link.test_reading.ReadingTests.test_one_read_causes_no_more_than_a_turns_work",),
    ),
    Mutant(
        "no heartbeat is sent",
        "crust/link/link.py",
        "        if liveness.probe_due:\n",
        "        if False:\n",
        ("tests.crust.link.test_liveness.TimerTests.test_idle_link_sends_heartbeats",),
    ),
    Mutant(
        "a peer that answers before it is asked looks near",
        "crust/link/round_trip.py",
        "            if asked == nonce:\n",
        "            if nonce is not None:\n",
        ("tests.crust.link.test_liveness.RoundTripTests.test_answer_cannot_be_sent_before_its_probe",),
    ),
    Mutant(
        "an answer to an earlier probe is timed from the latest one",
        "crust/link/round_trip.py",
        "seconds = self._seconds() - since\n",
        "seconds = self._seconds() - max([since, *(each for _, each in self._unanswered)])\n",
        ("tests.crust.link.test_liveness.RoundTripTests.test_answer_to_an_earlier_probe_is_timed_from_that",),
    ),
    Mutant(
        "all probes of a link have one nonce",
        "crust/link/link.py",
        "        self._probes += 1\n",
        "",
        ("tests.crust.link.test_liveness.RoundTripTests.test_answer_cannot_be_sent_before_its_probe",),
    ),
    Mutant(
        "a busy link is never probed for its round trip",
        "crust/link/liveness.py",
        "if in_use and not self.probe_due and",
        "if False and",
        ("tests.crust.link.test_liveness.RoundTripTests.test_busy_link_is_probed_for_its_round_trip_alone",),
    ),
    Mutant(
        "a link that is merely slow is cut",
        "crust/link/liveness.py",
        "self._cut_in = self._after(within, ASKED_ROUND_TRIPS)",
        "pass\n        self._cut_in = 8.0",
        (
            "tests.crust.link.test_liveness.DoubtTests.test_link_is_cut_where_the_owner_knows_that_the_path_has_broken",
        ),
    ),
    Mutant(
        "a question of the owner puts off doubt",
        "crust/link/liveness.py",
        "return self.waiting + max(0.0, min(self.wait, self.wait - self._left()))",
        "return self.waiting",
        ("tests.crust.link.test_liveness.DoubtTests.test_question_of_the_owner_does_not_put_off_doubt",),
    ),
    Mutant(
        "a silent link is doubted by nobody",
        "crust/link/liveness.py",
        "self.doubt_due = self._doubted = True",
        "self._doubted = True",
        (
            "tests.crust.link.test_liveness.DoubtTests.test_silence_after_a_frame_has_the_peer_probed_and_then_the_link_doubted",
        ),
    ),
    Mutant(
        "what the kernel took last is owed by nobody",
        "crust/link/liveness.py",
        "(queue.asked if self.heard else progressed)",
        "queue.asked and self.heard",
        (
            "tests.crust.link.test_liveness.DoubtTests.test_peer_that_took_what_waited_and_is_silent_then_is_doubted",
        ),
    ),
    Mutant(
        "what our own kernel takes counts as an answer of the peer",
        "crust/link/sendqueue.py",
        "return progressed and before < kernel.acknowledged, kernel.silent_seconds",
        "return progressed, kernel.silent_seconds",
        ("tests.crust.link.test_liveness.DoubtTests.test_peer_is_doubted_whose_kernel_acknowledges_nothing",),
    ),
    Mutant(
        "silence counts from the next look at a link",
        "crust/link/liveness.py",
        "min(owed or 0.0, length)",
        "0.0",
        ("tests.crust.link.test_liveness.DoubtTests.test_silence_counts_from_what_came_last",),
    ),
    Mutant(
        "what came before our last frame counts as an answer to it",
        "crust/link/liveness.py",
        "(queue.asked if self.heard else progressed)",
        "progressed and not self.heard",
        ("tests.crust.link.test_liveness.DoubtTests.test_what_came_before_our_last_frame_answers_nothing",),
    ),
    Mutant(
        "a tunnel is doubted no sooner than another link",
        "crust/link/liveness.py",
        "TUNNEL_DOUBT_AFTER_SECONDS if tunnel else DOUBT_AFTER_SECONDS",
        "DOUBT_AFTER_SECONDS",
        ("tests.crust.link.test_liveness.DoubtTests.test_tunnel_is_probed_and_doubted_sooner",),
    ),
    Mutant(
        "the links of a slow path are cut after eight round trips",
        "crust/link/liveness.py",
        "self._cut_in = self._after(within, ASKED_ROUND_TRIPS)",
        "self._cut_in = self._after(within)",
        (
            "tests.crust.link.test_liveness.DoubtTests.test_link_of_a_broken_path_is_cut_after_few_round_trips",
        ),
    ),
    Mutant(
        "a link that its peer seems to have lost is doubted no sooner",
        "crust/link/link.py",
        "self._ask(None, self._suspicion)",
        "self._ask(None, ASKED_DOUBT_AFTER_SECONDS)",
        (
            "tests.crust.link.test_liveness.DoubtTests.test_link_that_its_peer_seems_to_have_lost_is_doubted_sooner",
        ),
    ),
    Mutant(
        "each suspicion puts doubt off",
        "crust/link/liveness.py",
        "max(self._waited, self._asked_at + self._after",
        "max(self._waited, self._waited + self._after",
        (
            "tests.crust.link.test_liveness.DoubtTests.test_link_that_its_peer_seems_to_have_lost_is_doubted_sooner",
        ),
    ),
    Mutant(
        "frames that need no answer count as questions when a link is suspected",
        "crust/link/liveness.py",
        "            self._asked_at = self._waited\n",
        "            self._asked_at = 0.0\n",
        (
            "tests.crust.link.test_liveness.DoubtTests.test_frames_that_need_no_answer_bring_no_doubt_upon_suspicion",
        ),
    ),
    Mutant(
        "a link that others have reason to probe is doubted after eight round trips",
        "crust/link/liveness.py",
        "self._after(doubt_in, ASKED_ROUND_TRIPS)",
        "self._after(doubt_in)",
        (
            "tests.crust.link.test_liveness.DoubtTests.test_link_that_others_have_reason_to_probe_is_doubted_after_few_round_trips",
        ),
    ),
    Mutant(
        "a silent link is told of when it is doubted only",
        "crust/link/link.py",
        "self._owner.link_silent(self)",
        "pass",
        ("tests.crust.link.test_liveness.DoubtTests.test_silent_link_is_told_of_before_it_is_doubted",),
    ),
    Mutant(
        "a link with a long round trip is doubted each time",
        "crust/link/liveness.py",
        "return min(max(seconds, round_trips * self._round_trip), MAX_DOUBT_AFTER_SECONDS)",
        "return seconds",
        ("tests.crust.link.test_liveness.DoubtTests.test_path_with_a_long_round_trip_is_not_doubted_early",),
    ),
    Mutant(
        "link: a kernel that takes all at once gets all in one turn",
        "crust/link/sendqueue.py",
        " and self.wrote - wrote < most",
        "",
        (
            "tests.crust.link.test_sendqueue.SendQueueTests.test_kernel_that_takes_all_leaves_others_their_turn",
        ),
    ),
    Mutant(
        "link: what a turn leaves over is forgotten",
        "crust/link/sendqueue.py",
        "        elif self.size or (self.hungry and self.feeder is not None):",
        "        elif self.size:",
        (
            "tests.crust.link.test_sendqueue.SendQueueTests.test_kernel_that_takes_all_leaves_others_their_turn",
        ),
    ),
    Mutant(
        "two idle ends probe each other for ever",
        "crust/link/sendqueue.py",
        "if self.size > self.unasked:",
        "if self.size:",
        (
            "tests.crust.link.test_liveness.DoubtTests.test_probe_is_answered_with_one_heartbeat",
            "tests.crust.link.test_liveness.DoubtTests.test_answers_to_probes_keep_no_idle_link_busy",
        ),
    ),
    Mutant(
        "a busy peer answers no probe, so that its round trip stays unknown",
        "crust/link/link.py",
        "elif not self._queue.unasked:",
        "elif not self._queue.size:",
        (
            "tests.crust.link.test_liveness.RoundTripTests.test_peer_that_has_much_to_send_answers_a_probe_behind_it",
        ),
    ),
    Mutant(
        "a flood of probes fills the queue with answers",
        "crust/link/link.py",
        "elif not self._queue.unasked:",
        "else:",
        (
            "tests.crust.link.test_liveness.RoundTripTests.test_peer_that_has_much_to_send_answers_a_probe_behind_it",
        ),
    ),
    Mutant(
        "an answer does not count as a heartbeat",
        "crust/link/liveness.py",
        "if self.waiting is None and self.heard:",
        "if False:",
        ("tests.crust.link.test_liveness.DoubtTests.test_answer_has_nobody_probed",),
    ),
    Mutant(
        "a question before an answer is not asked",
        "crust/link/link.py",
        "self._queue.unasked += self._queue.size - before",
        "self._queue.unasked = self._queue.size",
        (
            "tests.crust.link.test_liveness.DoubtTests.test_answer_behind_a_question_leaves_the_peer_a_reaction_to_owe",
        ),
    ),
    Mutant(
        "each link of an idle node has the process wake up for itself",
        "crust/link/link.py",
        "liveness.wait = min(late, liveness.latest)",
        "pass",
        ("tests.crust.link.test_liveness.IdleTests.test_ticks_of_idle_links_come_together",),
    ),
    Mutant(
        "a silent link is cut later where its ticks wait for those of others",
        "crust/link/link.py",
        "            if liveness.waiting is None:\n"
        "                late = with_slack(liveness.wait, self._owner.clock.seconds())\n"
        "                liveness.wait = min(late, liveness.latest)\n",
        "            liveness.wait = with_slack(liveness.wait, self._owner.clock.seconds())\n",
        ("tests.crust.link.test_liveness.IdleTests.test_link_is_cut_no_later_for_that",),
    ),
    Mutant(
        "silence is forgiven",
        "crust/link/liveness.py",
        "if self._silence >= self._settings.inactivity_timeout:",
        "if False:",
        ("tests.crust.link.test_liveness.TimerTests.test_silent_link_is_cut_after_inactivity_timeout",),
    ),
    Mutant(
        "the Hello's time is not bounded",
        "crust/link/link.py",
        "self._arm(self.hello_timeout, self._hello_overdue)",
        "self._timer = None",
        ("tests.crust.link.test_link.ComingUpTests.test_link_without_hello_is_closed_after_hello_timeout",),
    ),
    Mutant(
        "a send queue grows without end",
        "crust/link/sendqueue.py",
        "return self.size < MAX_QUEUE_BYTES",
        "return True",
        (
            "tests.crust.link.test_closing.ClosingTests.test_close_cuts_the_link_if_the_goodbye_fills_the_queue",
        ),
    ),
    Mutant(
        "both ends of a rendezvous are TLS clients",
        "crust/link/preface.py",
        "sha256(_LABEL + bytes((requester,)) + token)",
        "sha256(_LABEL + token)",
        ("tests.crust.link.test_preface.PrefaceTests.test_echoed_preface_proves_nothing",),
    ),
    Mutant(
        "a paused transport is asked to write from within the flush",
        "crust/link/sendqueue.py",
        "if wrote != self.wrote and not self.paused:",
        "if wrote != self.wrote:",
        (
            "tests.crust.link.test_sendqueue.SendQueueTests.test_transport_that_is_paused_is_left_to_the_reactor",
        ),
    ),
    Mutant(
        "a captive portal reads like a bad version of TLS",
        "crust/link/tls.py",
        "if self.factory.plan.initiator and bytes.startswith(HTTP):",
        "if False:",
        (
            "tests.crust.link.test_strangers.StrangerTests.test_http_instead_of_tls_is_called_a_captive_portal",
        ),
    ),
    Mutant(
        "a session is made with any node that answers",
        "crust/session_tls.py",
        "self._connection = tls.session(initiator, peer)",
        "self._connection = tls.session(initiator, None)",
        (
            "tests.routing.sessions.test_sessions.TlsTests.test_another_node_than_was_asked_for_is_refused_at_both_ends",
        ),
    ),
    Mutant(
        "a link that owes an answer is looked at late",
        "crust/link/link.py",
        "if liveness.waiting is None:",
        "if True:",
        ("tests.crust.link.test_liveness.DoubtTests.test_link_that_owes_an_answer_is_looked_at_in_time",),
    ),
)
