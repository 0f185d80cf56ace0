"""Bugs in messages and sealed sessions."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a new link brings new control messages",
        "routing/messaging/envelope_dispatch.py",
        "self._rates.take(account_by_prefix(link))",
        "self._rates.take((link.binding.hex(),))",
        ("tests.routing.test_intruder.RequestTests.test_new_link_brings_no_new_control_messages",),
    ),
    Mutant(
        "a new link brings new hints that an envelope found no way on",
        "routing/messaging/forwarder.py",
        "        self._paths.link_lost(link)\n",
        "        self._paths.link_lost(link)\n        self._hints._links._limits.clear()\n",
        ("tests.routing.messaging.test_relayed.RelayTests.test_new_link_brings_no_new_hints",),
    ),
    Mutant(
        "a new link brings new handshakes of sessions",
        "routing/sessions/sessions.py",
        "        self._openings.link_lost()\n",
        "        self._openings.link_lost()\n        self._begun._taken.clear()\n",
        ("tests.routing.sessions.test_sessions.HostileTests.test_new_link_brings_no_new_handshakes",),
    ),
    Mutant(
        "each network has a rate of its own of handshakes of sessions",
        "routing/sessions/sessions.py",
        "if not self._begun.may_take(account):",
        "if self._begun._held.most(account) >= MAX_OFFERS_BEGUN // 2:",
        (
            "tests.routing.sessions.test_sessions.HostileTests.test_many_networks_begin_no_more_handshakes_than_may_be_and_leave_some_to_others",
        ),
    ),
    Mutant(
        "a message to the only other node says that there is no network",
        "routing/messaging/outgoing/outbox.py",
        "elif not self._attempts.send(message) and not self._retries.wait_for_network(message):",
        "elif not self._attempts.send(message):",
        (
            "tests.routing.absence.test_absence.AloneTests.test_whatever_is_wanted_of_the_only_other_node_fails_early",
        ),
    ),
    Mutant(
        "lost links use up the attempts of a message",
        "routing/messaging/outgoing/retries.py",
        "message.short_waits = SHORT_WAITS_SECONDS\n        self.attempt(message, False)\n",
        "message.short_waits = SHORT_WAITS_SECONDS\n        self.attempt(message)\n",
        ("tests.routing.messaging.test_losses.LossTests.test_lost_links_use_up_no_attempts",),
    ),
    Mutant(
        "hints use up the attempts of a message",
        "routing/messaging/outgoing/retries.py",
        "message.attempts += counts",
        "message.attempts += 1",
        (
            "tests.routing.messaging.test_relayed.RelayTests.test_message_to_an_unknown_name_is_given_up_in_time",
        ),
    ),
    Mutant(
        "the destination of a message that finds no way is not looked for",
        "routing/messaging/outgoing/retries.py",
        "            self._look_for(message)\n            message.hints += 1\n",
        "            message.hints += 1\n",
        ("tests.routing.absence.test_absence.CancelTests.test_cancelled_wait_ends_the_watch",),
    ),
    Mutant(
        "replay window off by one",
        "routing/messaging/duplicates.py",
        "while order and order[0][0] <= now:",
        "while order and order[0][0] <= now + 1:",
        (
            "tests.routing.messaging.test_duplicates.DuplicateFilterTests.test_key_is_remembered_up_to_its_last_moment",
        ),
    ),
    Mutant(
        "an acknowledgement goes over a link that its receiver has lost",
        "routing/messaging/acknowledger.py",
        "if direct is not None and direct is not sender.unused:",
        "if direct is not None:",
        (
            "tests.routing.messaging.test_relayed.RouteTests.test_acknowledgement_comes_back_though_only_one_end_has_lost_the_link",
        ),
    ),
    Mutant(
        "a message whose link was lost is sent again by one way only",
        "routing/messaging/outgoing/retries.py",
        "        if len(message.body) <= PART_BYTES:\n",
        "        if False:\n",
        (
            "tests.routing.messaging.test_relayed.RouteTests.test_message_is_soon_repeated_where_other_links_have_died_with_its_own",
        ),
    ),
    Mutant(
        "acknowledgement by the wrong signer",
        "routing/messaging/outgoing/outbox.py",
        "if message.destination != source:",
        "if False:",
        (
            "tests.routing.messaging.test_forged_envelopes.SecurityTests.test_acknowledgement_by_another_node_is_ignored",
        ),
    ),
    Mutant(
        "a request goes on to dead ends where a node is there that knows all",
        "routing/messaging/forwarder.py",
        "links.insert(1, link)",
        "links.append(link)",
        (
            "tests.routing.messaging.test_near_hops.TunnelTests.test_node_that_is_dialled_is_second_where_all_nearer_ones_are_behind_tunnels",
        ),
    ),
    Mutant(
        "the own first hop is chosen by names alone",
        "routing/messaging/forwarder.py",
        "near = self._near.next_hop(target, (destination,))",
        "near = None",
        ("tests.routing.messaging.test_near_hops.EarthTests",),
    ),
    Mutant(
        "the next hop of a relayed message is chosen by names alone",
        "routing/messaging/forwarder.py",
        "                name = self._near.next_hop(target, each)\n",
        "                entry = self._table.next_hop(target, each)\n"
        "                name = None if entry is None else entry.name\n",
        ("tests.routing.messaging.test_near_hops.EarthTests",),
    ),
    Mutant(
        "a node that is near in time gets every message",
        "routing/messaging/near_hops.py",
        ".bit_length() + NEAR_BITS",
        ".bit_length() + 256",
        (
            "tests.routing.messaging.test_near_hops.NearHopsTests.test_name_that_is_three_bits_farther_is_never_taken",
        ),
    ),
    Mutant(
        "a message goes to a node that is near in time and farther from the destination",
        "routing/messaging/near_hops.py",
        "if name.distance(target) < own]",
        "]",
        (
            "tests.routing.messaging.test_near_hops.NearHopsTests.test_node_that_is_farther_than_we_are_is_never_taken",
        ),
    ),
    Mutant(
        "a link that may be dead is taken for the soonest",
        "routing/messaging/near_hops.py",
        "if link is None or link.is_doubted:",
        "if link is None:",
        ("tests.routing.messaging.test_near_hops.NearHopsTests.test_link_that_may_be_dead_is_taken_last",),
    ),
    Mutant(
        "how near a name is counts for nothing beside its time",
        "routing/messaging/near_hops.py",
        "return seconds + BIT_SECONDS * name.distance(target).bit_length()",
        "return seconds",
        (
            "tests.routing.messaging.test_near_hops.NearHopsTests.test_bit_of_the_name_counts_as_much_as_its_time",
        ),
    ),
    Mutant(
        "nobody says that a response found no way",
        "routing/messaging/forwarder.py",
        "    EnvelopeKind.CONNECT_RESPONSE,\n)",
        ")",
        (
            "tests.routing.messaging.test_control_messages.ControlTests.test_hint_about_a_request_for_a_connection_or_its_response_is_reported",
        ),
    ),
    Mutant(
        "who is merely attached may send in any name",
        "routing/messaging/forwarder.py",
        "if source != link.peer and not self._neighbourhood.may_pass_on(link):",
        "if not source:",
        ("tests.routing.messaging.test_proxied_messages.StandingTests.test_direct_link_gives_no_standing",),
    ),
    Mutant(
        "an envelope may hold what another key has signed",
        "routing/messaging/envelope_dispatch.py",
        "if envelope.kind in SELF_PROVING and _signer(envelope) != envelope.source:",
        "if not envelope.source:",
        (
            "tests.routing.messaging.test_proxied_messages.StandingTests.test_body_of_another_signer_is_not_handled",
        ),
    ),
    Mutant(
        "when memory for parts is short, the latest message yields",
        "routing/messaging/fragmentation.py",
        "        self._of_account[partial.account].move_to_end(key)\n",
        "        self._of_account[partial.account].move_to_end(key, last=False)\n",
        (
            "tests.routing.messaging.test_fragmentation.ReassemblerTests.test_message_that_goes_on_is_spared_among_those_of_one_link",
        ),
    ),
    Mutant(
        "requests of other links get no place when all are taken",
        "routing/messaging/request_handling.py",
        "self._amounts.room_for(account_by_prefix(sender.link), size) if self._running else None",
        "None",
        ("tests.routing.messaging.test_requests.RoomTests.test_links_of_one_prefix_make_room_for_another",),
    ),
    Mutant(
        "a request handler may take for ever",
        "routing/messaging/request_handling.py",
        "            running.result = result\n            self._deadlines.add(key)\n",
        "            running.result = result\n",
        (
            "tests.routing.messaging.test_requests.RoomTests.test_a_handler_that_takes_too_long_is_cancelled_and_its_request_refused",
        ),
    ),
    Mutant(
        "who floods a slow peer through us gets all of its link",
        "routing/messaging/fair_relay.py",
        "self._turns.extendleft(reversed(self._blocked.pop(egress)))",
        "self._turns.extendleft(sorted(self._blocked.pop(egress), key=lambda each: each.held))",
        (
            "tests.routing.messaging.test_fair_relay.FairRelayTests.test_slow_link_is_shared_alike_by_those_who_send_over_it",
        ),
    ),
    Mutant(
        "who sends to many peers gets a larger share of the relay",
        "routing/messaging/fair_relay.py",
        "max(self._quantum // queues, MIN_QUANTUM_BYTES)",
        "self._quantum",
        (
            "tests.routing.messaging.test_fair_relay.FairRelayTests.test_link_that_sends_to_many_peers_gets_no_larger_share",
        ),
    ),
    Mutant(
        "relayed traffic fills the send queue of its link",
        "routing/messaging/forwarder.py",
        "return link is None or (link.writable and link.queued < MAX_RELAYED_QUEUE_BYTES)",
        "return True",
        (
            "tests.routing.messaging.test_crowded_link.CrowdedLinkTests.test_honest_message_passes_junk_that_waits_for_the_same_peer",
        ),
    ),
    Mutant(
        "a flood to nobody uses up the hints of all",
        "routing/messaging/forwarder.py",
        "not self._hints.take(account_by_prefix(came_by)):",
        'not self._hints.take(("all",)):',
        (
            "tests.routing.messaging.test_relayed.NobodyTests.test_flood_to_nobody_keeps_no_hint_from_other_senders",
        ),
    ),
    Mutant(
        "an envelope's id and its sender's proxy are not signed",
        "routing/envelopes.py",
        'return id.to_bytes(8, "big"), destination, source_proxy, bytes((kind, nearest)), body',
        "return destination, bytes((kind, nearest)), body",
        (
            "tests.routing.messaging.test_forged_envelopes.SecurityTests.test_envelope_with_another_id_is_dropped",
        ),
    ),
    Mutant(
        "what is forgotten of a sender may come again",
        "routing/messaging/duplicates.py",
        "            window.floor = max(window.floor, *oldest)\n",
        "",
        (
            "tests.routing.messaging.test_duplicates.SenderWindowsTests.test_flood_of_own_ids_flushes_no_id_of_another_sender",
        ),
    ),
    Mutant(
        "envelope: signature unchecked",
        "routing/envelopes.py",
        "return identity.holds(recurring_name(envelope.source), envelope.signature, LABEL, network, *fields)",
        "return True",
        ("tests.routing.messaging.test_relayed.RelayTests.test_relays_verify_nothing",),
    ),
    Mutant(
        "hops are not counted",
        "routing/messaging/forwarder.py",
        "hops_left=hops - 1",
        "hops_left=hops",
        (
            "tests.routing.messaging.test_relayed.RelayTests.test_envelope_is_dropped_when_its_hops_are_used_up",
        ),
    ),
    Mutant(
        "an envelope that comes round is passed on again",
        "routing/messaging/forwarder.py",
        "return self._passed.seen((envelope.source, envelope.id, envelope.destination_proxy))",
        "return False",
        ("tests.routing.messaging.test_relayed.RelayTests.test_envelope_that_comes_round_again_is_dropped",),
    ),
    Mutant(
        "messages are delivered twice",
        "routing/messaging/inbox.py",
        "        if not again:\n",
        "        if True:\n",
        (
            "tests.routing.messaging.test_full_links.BackPressureTests.test_acknowledgements_for_a_peer_that_does_not_read_are_bounded",
        ),
    ),
    Mutant(
        "control messages have no rate",
        "routing/messaging/envelope_dispatch.py",
        "if envelope.kind not in _NO_CONTROL and not self._rates.take(account_by_prefix(link)):",
        "if False:",
        ("tests.routing.test_intruder.RequestTests.test_control_messages_over_the_rate_go_unanswered",),
    ),
    Mutant(
        "the bodies of waiting messages count for nothing",
        "routing/messaging/outgoing/outbox.py",
        "        self._held += message.cost\n",
        "        self._held += message.cost - len(message.body)\n",
        ("tests.routing.messaging.test_sending.SendTests.test_bodies_count_for_outbox_memory",),
    ),
    Mutant(
        "the text of a handler's error goes to the requester",
        "routing/messaging/request_handling.py",
        "refusal = _refusal(RefusalReason.HANDLER_FAILED)",
        "refusal = _refusal(RefusalReason.HANDLER_FAILED, failure.getErrorMessage())",
        (
            "tests.routing.messaging.test_requests.RefusalTests.test_an_error_of_a_handler_is_told_without_its_text",
        ),
    ),
    Mutant(
        "a handler may keep a requester for ever",
        "routing/messaging/outgoing/message.py",
        "until = min(now + decode(Working, body).seconds, most)",
        "until = now + decode(Working, body).seconds",
        ("tests.routing.messaging.test_requests.ExtendTests.test_nobody_is_waited_for_without_an_end",),
    ),
    Mutant(
        "a handler's word that it takes longer is said once only",
        "routing/messaging/request_handling.py",
        "            if left > 0:\n",
        "            if False:\n",
        (
            "tests.routing.messaging.test_requests.ExtendTests.test_a_lost_word_is_said_again_when_the_request_is_repeated",
        ),
    ),
    Mutant(
        "a request outlives its timeout",
        "routing/messaging/outgoing/outbox.py",
        "        if timeout is not None:\n",
        "        if False:\n",
        (
            "tests.routing.messaging.test_requests.ExtendTests.test_the_timeout_of_the_requester_holds_all_the_same",
        ),
    ),
    Mutant(
        "a denied name may send through other nodes",
        "routing/messaging/envelope_dispatch.py",
        "        if source in self._denied:\n",
        "        if False:\n",
        ("tests.routing.test_network.JoiningTests.test_messages_of_a_denied_name_are_dropped",),
    ),
    Mutant(
        "an envelope that others may pass on is not signed",
        "routing/messaging/messenger.py",
        "(nearest or link is None or link.peer != destination)",
        "(link is None or link.peer != destination)",
        (
            "tests.routing.messaging.test_control_messages.ControlTests.test_envelope_needs_no_signature_over_the_link_of_its_sender",
        ),
    ),
    Mutant(
        "forged envelopes by one link hide those by another in the log",
        "routing/messaging/envelope_dispatch.py",
        '            "dropped an envelope of {source}: {problem}",\n            by=prefix_of(link),\n',
        '            "dropped an envelope of {source}: {problem}",\n',
        (
            "tests.routing.messaging.test_forged_envelopes.SecurityTests.test_forgeries_by_one_link_do_not_hide_those_by_another",
        ),
    ),
    Mutant(
        "a replayed packet of a session is delivered again",
        "routing/sessions/replay_window.py",
        "return age < WINDOW_PACKETS and not self._seen >> age & 1",
        "return age < WINDOW_PACKETS",
        ("tests.routing.sessions.test_sessions.HostileTests.test_replayed_packet_is_not_delivered_twice",),
    ),
    Mutant(
        "a forged packet uses up its counter",
        "routing/sessions/keys.py",
        "        epoch = self._epoch_of(packet)\n",
        "        self._window.note(packet.counter)\n        epoch = self._epoch_of(packet)\n",
        (
            "tests.routing.sessions.test_keys.KeyTests.test_altered_packet_does_not_open_and_does_not_use_up_the_counter",
        ),
    ),
    Mutant(
        "each packet that names the next epoch has its key made again",
        "routing/sessions/keys.py",
        '            self._secret = b""\n        return self._following',
        '        return _Epoch(self.number + 1, _expand(self._secret, b"next", SECRET_BYTES))',
        ("tests.routing.sessions.test_keys.KeyTests.test_next_key_is_made_once_when_a_packet_names_it",),
    ),
    Mutant(
        "keys of a session are kept for ever",
        "routing/sessions/keys.py",
        "if not self._left or now - self._began >= EPOCH_SECONDS:",
        "if False:",
        ("tests.routing.sessions.test_keys.KeyTests.test_keys_move_on_with_time_and_packets",),
    ),
    Mutant(
        "a relay may change the way back of a sealed packet",
        "routing/sessions/session.py",
        'return envelope_id.to_bytes(8, "big") + source_proxy',
        'return envelope_id.to_bytes(8, "big")',
        (
            "tests.routing.sessions.test_sessions.HostileTests.test_altered_packet_is_dropped_and_the_good_one_still_taken",
        ),
    ),
    Mutant(
        "both ends insist on their own handshake",
        "routing/sessions/sessions.py",
        "and self._own > source:\n",
        "and True:\n",
        (
            "tests.routing.sessions.test_sessions.MakingTests.test_both_ends_that_begin_at_once_end_with_the_session_of_the_greater_name",
        ),
    ),
    Mutant(
        "a lost flight is never sent again",
        "routing/sessions/openings.py",
        "        opening.repeats += 1\n        self.transmit(opening)",
        "        opening.repeats += 1",
        ("tests.routing.sessions.test_sessions.MakingTests.test_each_lost_flight_is_sent_again",),
    ),
    Mutant(
        "what is sealed is taken before it is known who has sealed it",
        "routing/sessions/sessions.py",
        "            offer.keep(envelope, link, plaintext)\n",
        "            self._user.opened(envelope, offer.peer, link, plaintext)\n",
        (
            "tests.routing.sessions.test_sessions.HostileTests.test_nothing_is_taken_from_an_end_that_is_not_who_it_says",
        ),
    ),
    Mutant(
        "the last flight of a handshake need not be sealed",
        "routing/sessions/handshake.py",
        "if self._agreement.is_complete and not self._initiator:",
        "if False:",
        ("tests.routing.sessions.test_sessions.HostileTests.test_last_flight_that_is_not_sealed_is_refused",),
    ),
    Mutant(
        "a last flight that comes again is not answered",
        "routing/sessions/sessions.py",
        "                self._last_flight_again(source, envelope, link)\n",
        "                pass\n",
        (
            "tests.routing.sessions.test_sessions.MakingTests.test_last_flight_that_comes_again_is_answered_by_an_empty_packet",
        ),
    ),
    Mutant(
        "handshakes in free names are unlimited",
        "routing/sessions/sessions.py",
        "if not self._begun.may_take(account):",
        "if False:",
        (
            "tests.routing.sessions.test_sessions.HostileTests.test_handshakes_in_free_names_by_one_link_are_limited",
        ),
    ),
    Mutant(
        "sessions in free names evict those of others",
        "routing/sessions/session_table.py",
        "crowded = self._others.total > MAX_SESSIONS - RESERVED_SESSIONS",
        "crowded = False",
        (
            "tests.routing.sessions.test_session_table.TableTests.test_free_names_of_one_link_evict_each_other_only",
        ),
    ),
    Mutant(
        "any word that a session is unknown ends it",
        "routing/sessions/sessions.py",
        "        session = self._table.find(source, number)\n        # of a session",
        "        session = self._table.latest(source)\n        # of a session",
        ("tests.routing.sessions.test_sessions.EndingTests.test_hint_about_another_session_changes_nothing",),
    ),
    Mutant(
        "an unsigned envelope passes for any kind",
        "routing/messaging/envelope_dispatch.py",
        "proven = envelope.kind in _UNSIGNED",
        "proven = True",
        ("tests.routing.messaging.test_forged_envelopes.SecurityTests.test_unsigned_envelope_is_dropped",),
    ),
    Mutant(
        "messages of a session that the peer has lost wait for their deadline",
        "routing/sessions/sessions.py",
        "        self._user.session_lost(source)\n",
        "",
        (
            "tests.routing.messaging.test_hostile_relay.MeddlingTests.test_restart_of_the_other_end_costs_a_round_trip",
        ),
    ),
    Mutant(
        "an answer without a session is dropped",
        "routing/messaging/acknowledger.py",
        "self._waiting.add(sender.name, id, (sender, id, status, body), size)",
        "pass",
        (
            "tests.routing.messaging.test_hostile_relay.MeddlingTests.test_late_answer_waits_for_another_session",
        ),
    ),
    Mutant(
        "who is no member has sessions in a private network",
        "routing/sessions/sessions.py",
        "if turned_away is not None:",
        "if False:",
        (
            "tests.routing.sessions.test_sessions.PrivateTests.test_who_shows_no_good_certificate_has_no_session",
        ),
    ),
)
