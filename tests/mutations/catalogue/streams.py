"""Bugs in streams."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a peer may send for ever to a stream that was refused",
        "streams/multiplexing/mux.py",
        "            self._crossing -= len(payload) - NUMBER_BYTES\n",
        "            pass\n",
        (
            "tests.streams.multiplexing.test_hostile.ViolationTests.test_no_more_crosses_a_refusal_than_may_be_on_its_way",
        ),
    ),
    Mutant(
        "what a peer sends before its stream is accepted is lost",
        "streams/transport.py",
        "        if early:\n            self.data(early)",
        "        if early:\n            pass",
        ("tests.streams.test_accepting.AcceptorTests.test_first_bytes_wait_for_the_decision",),
    ),
    Mutant(
        "a program may have its first bytes twice",
        "streams/opening.py",
        "(expired or is_sent or isinstance",
        "(expired or isinstance",
        (
            "tests.streams.survival.test_peers.OpeningTests.test_first_bytes_that_went_out_are_not_sent_again_to_a_peer_that_has_restarted",
        ),
    ),
    Mutant(
        "first bytes wait for the answer",
        "streams/opening.py",
        "        for each in self._written:\n            stream.write(each)",
        "        pass",
        ("tests.streams.survival.test_peers.OpeningTests.test_first_bytes_arrive_once_over_the_next_link",),
    ),
    Mutant(
        "bytes that crossed a refusal cut the link",
        "streams/multiplexing/mux.py",
        "<= self._crossing:",
        "<= 0:",
        (
            "tests.streams.multiplexing.test_mux_opening.OpenTests.test_first_bytes_of_a_refused_stream_are_dropped",
        ),
    ),
    Mutant(
        "a refused stream sends what was written to it",
        "streams/multiplexing/mux.py",
        "        stream.futile = True\n        stream.buffer.clear()\n        self._forget(stream)",
        "        self._forget(stream)",
        (
            "tests.streams.multiplexing.test_mux_opening.OpenTests.test_first_bytes_of_a_refused_stream_are_dropped",
        ),
    ),
    Mutant(
        "what waits behind the first bytes is never sent",
        "streams/multiplexing/mux.py",
        "            if stream.ready:\n                self.feeding.ready(stream)\n            stream",
        "            stream",
        ("tests.streams.multiplexing.test_mux_opening.OpenTests.test_first_bytes_go_before_the_answer",),
    ),
    Mutant(
        "a forward reads on before its stream is open",
        "daemon/forward/splice.py",
        "            self.transport.pauseProducing()\n            self._splice.early.write(data)",
        "            self._splice.early.write(data)",
        (
            "tests.daemon.forward.test_carrying.FlowTests.test_program_has_a_request_before_the_answer_to_the_stream_is_there",
        ),
    ),
    Mutant(
        "refused streams leave less memory for windows",
        "streams/multiplexing/mux.py",
        "if stream.phase is not Phase.REQUESTED:\n            self._windows",
        "if True:\n            self._windows",
        (
            "tests.streams.multiplexing.test_mux_properties.PropertyTests.test_any_sequence_of_actions_matches_the_model",
        ),
    ),
    Mutant(
        "streams of a banned member wait for a link",
        "streams/survival/peers.py",
        "        if peer is not None and not peer.attached:\n            self._end(peer, reason)",
        "        if peer is not None and peer.attached:\n            self._end(peer, reason)",
        ("tests.routing.private.test_expulsion.BanTests.test_streams_that_wait_for_a_link_end_with_the_ban",),
    ),
    Mutant(
        "streams have no bound in all",
        "streams/offers.py",
        "if sum(each.mux.held for each in self._peers) <= MAX_STREAMS_OF_PEERS:",
        "if True:",
        (
            "tests.streams.test_sharing.BoundInAllTests.test_peer_with_fewer_streams_gets_one_of_the_peer_with_most",
        ),
    ),
    Mutant(
        "a stream that was ended to make room still counts",
        "streams/multiplexing/mux.py",
        "        self._let_go(stream)\n        stream.given_up = True\n",
        "        stream.given_up = True\n",
        ("tests.streams.test_sharing.BoundInAllTests.test_stream_that_ends_makes_room",),
    ),
    Mutant(
        "a stream takes more than its credit",
        "streams/multiplexing/machine.py",
        "if not 0 < size <= self.receive_window:",
        "if not 0 < size:",
        ("tests.streams.multiplexing.test_hostile.ViolationTests.test_data_beyond_the_credit_is_refused",),
    ),
    Mutant(
        "data comes after the end of a stream",
        "streams/multiplexing/machine.py",
        'is not _SENDING:\n            raise self._misplaced("DATA")',
        'is None:\n            raise self._misplaced("DATA")',
        ("tests.streams.multiplexing.test_hostile.StateTests.test_every_state_answers_every_frame",),
    ),
    Mutant(
        "what waits to be read is turned around",
        "streams/transport.py",
        "self._backlog += data",
        "self._backlog[:0] = data",
        ("tests.testing.play.test_streaming.DayTests.test_all_arrives_on_a_calm_day",),
    ),
    Mutant(
        "a stream sends large frames while others wait",
        "streams/multiplexing/feeding.py",
        "QUANTUM if yields or self._scheduler else LONE_QUANTUM",
        "QUANTUM if yields else LONE_QUANTUM",
        (
            "tests.streams.multiplexing.test_feeding.FairnessTests.test_stream_sends_large_frames_only_while_it_is_alone",
        ),
    ),
    Mutant(
        "a stream sends large frames beside an interactive one",
        "streams/multiplexing/feeding.py",
        "QUANTUM if yields or self._scheduler else LONE_QUANTUM",
        "QUANTUM if self._scheduler else LONE_QUANTUM",
        (
            "tests.streams.multiplexing.test_feeding.FairnessTests.test_stream_sends_large_frames_only_while_it_is_alone",
        ),
    ),
    Mutant(
        "a stream is closed before all of it is sent",
        "streams/multiplexing/feeding.py",
        "if stream.ending is not None and not buffer.size:",
        "if stream.ending is not None:",
        ("tests.testing.play.test_streaming.DayTests.test_all_arrives_on_a_calm_day",),
    ),
    Mutant(
        "streams outlive their link",
        "streams/multiplexing/mux.py",
        "                stream.handler.lost(problem)\n",
        "                pass\n",
        ("tests.streams.multiplexing.test_mux_ending.EndTests.test_lost_link_is_told_to_every_user_once",),
    ),
    Mutant(
        "our resets go out as fast as streams are given up",
        "streams/multiplexing/resets.py",
        "            if not self._suspended and not self._ours.take():\n",
        "            if False:\n",
        ("tests.streams.multiplexing.test_mux_ending.EndTests.test_own_resets_stay_below_the_limit",),
    ),
    Mutant(
        "a reset is not answered",
        "streams/multiplexing/mux.py",
        '            self._send_reset(stream, reason, "")\n',
        "            pass\n",
        ("tests.testing.play.test_streaming.DayTests.test_all_arrives_on_a_calm_day",),
    ),
    Mutant(
        "who reads again is given nothing",
        "streams/transport.py",
        "            if self._backlog or self._read_ending:\n",
        "            if self._read_ending:\n",
        ("tests.testing.play.test_streaming.DayTests.test_all_arrives_on_a_calm_day",),
    ),
    Mutant(
        "an echo waits for a peer that reads no more",
        "streams/transport.py",
        "if self._unsent and self._paused and waits",
        "if False and waits",
        ("tests.streams.test_producers.ProducerTests.test_closing_while_much_is_unread_loses_nothing",),
    ),
    Mutant(
        "a stream that is cut off loses what was written to it",
        "streams/transport.py",
        "            self._stream.close(_cause_of(reason.value))\n",
        "            self._stream.reset(*_cause_of(reason.value))\n",
        ("tests.streams.test_transport_ends.EndTests", "tests.daemon.forward.test_carrying.FlowTests"),
    ),
    Mutant(
        "a stream that is cut off ends as if it were complete",
        "streams/transport.py",
        "if half is not None and not self._read_ended and self._cause is None:",
        "if half is not None and not self._read_ended:",
        ("tests.streams.test_transport_ends.HalfCloseTests",),
    ),
    Mutant(
        "a stream that was given up keeps its credit",
        "streams/transport.py",
        "        if size:\n            self._stream.consume(size)\n",
        "",
        ("tests.streams.test_producers.ProducerTests.test_closing_while_much_is_unread_loses_nothing",),
    ),
    Mutant(
        "credit that can wait never comes",
        "streams/multiplexing/stream.py",
        "self._owner.owe_credit(self)",
        "pass",
        ("tests.streams.multiplexing.test_mux_data.DataTests.test_credit_is_worth_it",),
    ),
    Mutant(
        "a stream is given no credit for what was read",
        "streams/transport.py",
        "                self._protocol_raised()\n        self._stream.consume(len(data))\n",
        "                self._protocol_raised()\n",
        ("tests.testing.play.test_streaming.DayTests.test_all_arrives_on_a_calm_day",),
    ),
    Mutant(
        "a daemon that drains accepts new streams",
        "streams/offers.py",
        "        if self.closed:\n",
        "        if False:\n",
        ("tests.daemon.live.test_drain.DrainTests.test_new_streams_are_refused_both_ways_with_the_reason",),
    ),
    Mutant(
        "a stop while a protocol is made fails half way",
        "streams/opening.py",
        "        if self.answer.called:\n",
        "        if False:\n",
        (
            "tests.routing.test_stopping.StoppingTests.test_stopping_from_a_call_of_a_joined_service_leaves_no_timer",
        ),
    ),
    Mutant(
        "a stop while a stream is accepted leaves its timer",
        "streams/offers.py",
        "decision = port.accept(address)\n        if stream.given_up:",
        "decision = port.accept(address)\n        if False:",
        (
            "tests.routing.test_stopping.StoppingTests.test_stopping_from_a_call_of_a_joined_service_leaves_no_timer",
        ),
    ),
    Mutant(
        "a resumed session sends one frame too few again",
        "streams/survival/journal.py",
        "return islice(self._frames, received - self.acknowledged, None)",
        "return islice(self._frames, received - self.acknowledged + 1, None)",
        (
            "tests.streams.survival.test_session.SessionTests.test_new_link_carries_what_the_peer_has_not_received",
        ),
    ),
    Mutant(
        "streams: an acknowledgement waits for its own frame only",
        "streams/survival/session.py",
        "        if self._untold >= ACK_BESIDE_BYTES:",
        "        if False:",
        (
            "tests.streams.survival.test_session.SessionTests.test_acknowledgement_goes_beside_a_frame_before_it_is_due",
        ),
    ),
    Mutant(
        "a resumed session sends frames twice",
        "streams/survival/session.py",
        "        if not self._sending:\n            self._sending = True\n            self._late",
        "        if True:\n            self._sending = True\n            self._late",
        ("tests.streams.survival.test_session.SessionTests.test_first_resume_sends_nothing_again",),
    ),
    Mutant(
        "new data overtakes what is sent again",
        "streams/survival/session.py",
        "        if self._late:\n            self._late.append",
        "        if False:\n            self._late.append",
        (
            "tests.streams.survival.test_session.SessionTests.test_new_link_carries_what_the_peer_has_not_received",
        ),
    ),
    Mutant(
        "frames of an earlier epoch count",
        "streams/survival/session.py",
        "        if not self.established:\n            return False",
        "        if False:\n            return False",
        ("tests.streams.survival.test_session.SessionTests.test_nothing_counts_before_the_peer_has_resumed",),
    ),
    Mutant(
        "a session that the peer has forgotten goes on",
        "streams/survival/session.py",
        "        if self.theirs and peer.mine != self.theirs:\n            return ResumeOutcome.FORGOTTEN",
        "        if False:\n            return ResumeOutcome.FORGOTTEN",
        (
            "tests.streams.survival.test_session.SessionTests.test_peer_with_another_session_has_forgotten_this_one",
        ),
    ),
    Mutant(
        "numbers that cannot be are believed",
        "streams/survival/session.py",
        "        if not self.journal.can_be(peer.received):",
        "        if False:",
        ("tests.streams.survival.test_session.SessionTests.test_numbers_that_cannot_be_end_the_session",),
    ),
    Mutant(
        "a higher epoch is not entered",
        "streams/survival/session.py",
        "        if peer.epoch > self._epoch:",
        "        if False:",
        (
            "tests.streams.survival.test_session.SessionTests.test_peer_that_has_seen_a_loss_by_itself_gets_everything_again",
        ),
    ),
    Mutant(
        "a peer may take frames for ever without acknowledging any",
        "streams/survival/session.py",
        "if len(self.journal) > MAX_UNACKNOWLEDGED_FRAMES:",
        "if False:",
        ("tests.streams.survival.test_session.SessionTests.test_peer_that_acknowledges_nothing_is_refused",),
    ),
    Mutant(
        "two ends that begin again never agree",
        "streams/survival/peer.py",
        "number = before.mine if keeps else self._new_number()",
        "number = self._new_number()",
        (
            "tests.streams.survival.test_peers.EndingTests.test_peer_that_resumes_with_false_numbers_loses_its_streams_and_nothing_else",
        ),
    ),
    Mutant(
        "a peer has less than its time to answer over the next link",
        "streams/opening.py",
        "        if not self.answer.called:\n            self._begin()",
        "        pass",
        ("tests.streams.survival.test_peers.OpeningTests.test_peer_has_all_its_time_over_the_next_link",),
    ),
    Mutant(
        "a stream that is being opened waits as long as one that is open",
        "streams/survival/peer.py",
        "left = since + _survival(stream) - now",
        "left = since + stream.survival - now",
        (
            "tests.streams.survival.test_peers.OpeningTests.test_it_fails_with_the_reason_when_no_link_has_come_for_as_long_as_one_is_looked_for",
        ),
    ),
    Mutant(
        "who opens a stream does not hear that the peer is gone",
        "streams/survival/reconnection.py",
        "            self._unreachable(failure.value)",
        "            pass",
        (
            "tests.streams.survival.test_peers.OpeningTests.test_it_fails_as_soon_as_the_peer_is_known_to_be_gone",
        ),
    ),
    Mutant(
        "a peer that is gone is asked for a stream once more",
        "streams/opening.py",
        "self.may_repeat = not (expired or is_sent or isinstance(problem, PeerUnreachable))",
        "pass",
        ("tests.streams.survival.test_peers.OpeningTests.test_short_survival_is_all_that_it_waits_for",),
    ),
    Mutant(
        "a link is asked for only when the node has its place again",
        "routing/links_by_name.py",
        "core.direct_links.borrow(name, self.when_bootstrapped, patient)",
        "core.direct_links.borrow(name, self.when_connected, patient)",
        (
            "tests.streams.survival.test_peers.ResumingTests.test_link_is_asked_for_before_the_node_has_its_place_in_the_network",
        ),
    ),
    Mutant(
        "a stream that is asked for over a dead link fails with it",
        "streams/opening.py",
        "        if self._is_heard():",
        "        if True:",
        ("tests.streams.survival.test_peers.OpeningTests.test_silent_link_gives_the_peer_no_less_time",),
    ),
    Mutant(
        "a peer that does not decide is waited for again and again",
        "streams/opening.py",
        "        if self._is_heard():",
        "        if False:",
        ("tests.streams.test_lost_links.LossTests.test_node_without_streams_drops_their_frames",),
    ),
    Mutant(
        "who opens a stream may have it suspended for ever",
        "streams/multiplexing/mux.py",
        "_NOBODY, min(survival, most))",
        "_NOBODY, survival)",
        ("tests.streams.survival.test_peers.EndingTests.test_both_ends_take_the_shorter_time",),
    ),
    Mutant(
        "an end suspends a stream for longer than its peer does",
        "streams/multiplexing/mux.py",
        "stream.survival = min(stream.survival, survival)",
        "pass",
        ("tests.streams.survival.test_peers.EndingTests.test_both_ends_take_the_shorter_time",),
    ),
    Mutant(
        "who asks for streams that are refused hides it when others are refused",
        "streams/offers.py",
        "            by=self._peers.prefix_of(name),\n",
        "",
        ("tests.streams.test_opening.RefusalTests.test_refusals_of_one_peer_do_not_hide_those_of_another",),
    ),
    Mutant(
        "who may not have a protocol hears whether it is UDP",
        "streams/offers.py",
        "if port is None or not port.allows(name):",
        "if port is None:",
        (
            "tests.daemon.forward.datagrams.test_datagrams.RefusalTests.test_peer_that_may_not_have_it_does_not_hear_what_kind_it_is",
        ),
    ),
    Mutant(
        "a peer whose request was lost with the path is not asked again",
        "streams/survival/reconnection.py",
        "        self._ask_again()",
        "        pass",
        (
            "tests.streams.survival.test_reconnection.ReconnectionTests.test_peer_is_asked_again_while_an_attempt_is_under_way",
        ),
    ),
    Mutant(
        "what is kept for a peer that acknowledges nothing has no bound",
        "streams/survival/peer.py",
        "self.mux.feeding.feed(max(0, min(room, kept)))",
        "self.mux.feeding.feed(max(0, room))",
        (
            "tests.streams.survival.test_suspended_transports.UnacknowledgedTests.test_no_more_is_kept_for_a_peer_than_stream_memory",
        ),
    ),
    Mutant(
        "an idle stream keeps the frames that opened it",
        "streams/survival/peer.py",
        "self._owner.clock.callLater(ACK_AFTER_SECONDS, self._tell)",
        "self._owner.clock.callLater(3600.0, self._tell)",
        (
            "tests.streams.survival.test_idle_memory.IdleMemoryTests.test_idle_stream_keeps_little_for_survival",
        ),
    ),
    Mutant(
        "streams end with a link that one node has no use for",
        "streams/survival/peer.py",
        "        CloseReason.SELF,\n        CloseReason.BANNED,",
        "        CloseReason.SELF,\n        CloseReason.NO_LONGER_NEEDED,\n        CloseReason.BANNED,",
        (
            "tests.streams.survival.test_peers.ResumingTests.test_streams_go_on_when_a_node_has_no_use_for_their_link",
        ),
    ),
    Mutant(
        "a peer is not told that its numbers were false",
        "streams/survival/peer.py",
        "self._start_over(resume, Ended.REFUSED, ",
        "self._start_over(resume, Ended.NONE, ",
        (
            "tests.streams.survival.test_peers.EndingTests.test_peer_that_resumes_with_false_numbers_loses_its_streams_and_nothing_else",
        ),
    ),
    Mutant(
        "suspended streams never expire",
        "streams/survival/peer.py",
        "left = since + _survival(stream) - now",
        "left = 1.0",
        ("tests.streams.survival.test_peers.EndingTests.test_time_is_limited_and_both_ends_say_so",),
    ),
    Mutant(
        "a handover that breaks is told as a wait",
        "streams/survival/peers.py",
        "if peer.attached or self._peers",
        "if self._peers",
        (
            "tests.streams.survival.test_peers.ResumingTests.test_log_has_one_line_where_another_link_is_there_at_once",
        ),
    ),
    Mutant(
        "sessions that are laid aside go by their age, and not from the prefix that has most",
        "streams/survival/peers.py",
        "self._forget(self._who_goes(list(self._laid_aside.values()), {}))",
        "self._forget(next(iter(self._laid_aside.values())))",
        (
            "tests.streams.survival.test_peers.LaidAsideTests.test_crowd_of_one_prefix_that_comes_and_goes_pushes_out_its_own",
        ),
    ),
    Mutant(
        "what suspended streams keep has no bound",
        "streams/survival/peers.py",
        "total > MAX_SUSPENDED_BYTES or len(waiting)",
        "False or len(waiting)",
        ("tests.streams.survival.test_peers.EndingTests.test_too_much_that_is_kept_ends_the_oldest",),
    ),
    Mutant(
        "what is written on suspended streams has no bound",
        "streams/survival/peers.py",
        "goes on writing meanwhile\n        self._bound()\n",
        "goes on writing meanwhile\n",
        (
            "tests.streams.survival.test_peers.EndingTests.test_too_much_that_is_written_meanwhile_ends_the_oldest",
        ),
    ),
    Mutant(
        "a peer that stops leaves its streams waiting",
        "streams/survival/peer.py",
        "        CloseReason.STOPPING,\n",
        "",
        ("tests.streams.survival.test_peers.EndingTests.test_peer_that_stops_ends_them_at_once",),
    ),
    Mutant(
        "nobody asks for another link",
        "streams/survival/reconnection.py",
        "        self._wait()\n\n    def _wait",
        "\n    def _wait",
        (
            "tests.streams.survival.test_reconnection.ReconnectionTests.test_first_attempt_comes_soon_but_not_at_once",
        ),
    ),
    Mutant(
        "idle streams are kept for ever",
        "streams/survival/peer.py",
        "        if self._session.unacknowledged:\n            self._session.tell()",
        "        if False:\n            self._session.tell()",
        ("tests.streams.survival.test_peers.ResumingTests.test_what_was_acknowledged_is_not_kept",),
    ),
    Mutant(
        "sessions of streams begin again without end",
        "streams/survival/peer.py",
        "self._resumes += 1",
        "pass",
        ("tests.streams.survival.test_peers.EndingTests.test_resumes_without_end_close_the_link",),
    ),
)
