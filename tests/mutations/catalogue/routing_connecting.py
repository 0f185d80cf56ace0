"""Bugs in the exchange of requests by which two nodes agree on a link."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a first node does not ask a peer that has just attached to it",
        "routing/connecting/direct_links.py",
        "if not self._neighbourhood.bootstrapped and self._links.peer(name) is None:",
        "if not self._neighbourhood.bootstrapped:",
        ("tests.routing.absence.test_absence.AloneTests.test_patient_open_waits_for_the_network",),
    ),
    Mutant(
        "a connection to the only other node says that there is no network",
        "routing/connecting/direct_links.py",
        "if when_bootstrapped is not None and (patient or self._absence.may_find(name)):",
        "if when_bootstrapped is not None and patient:",
        (
            "tests.routing.absence.test_absence.AloneTests.test_whatever_is_wanted_of_the_only_other_node_fails_early",
        ),
    ),
    Mutant(
        "without a network a node is waited for that nobody can find",
        "routing/connecting/direct_links.py",
        "(patient or self._absence.may_find(name))",
        "True",
        (
            "tests.routing.absence.test_absence.AloneTests.test_node_of_which_no_address_is_known_is_not_waited_for_without_a_network",
        ),
    ),
    Mutant(
        "a peer that does not answer is asked without an end",
        "routing/connecting/direct_links.py",
        "callLater(UNREACHABLE_SECONDS, too_late)",
        "callLater(9 * UNREACHABLE_SECONDS, too_late)",
        ("tests.routing.absence.test_absence.AloneTests.test_patient_open_ends_at_the_documented_time",),
    ),
    Mutant(
        "requests of others may take the places of our own",
        "routing/connecting/expected.py",
        "unreserved = limit - limit // RESERVED_SHARE",
        "unreserved = limit",
        (
            "tests.routing.connecting.test_expected.ExpectedTests.test_account_that_holds_most_of_a_full_table_makes_room",
        ),
    ),
    Mutant(
        "a full table of expected connections refuses the newest",
        "routing/connecting/expected.py",
        "        held = self._of_others.of_largest(asked_by)\n",
        "        held: tuple[_Key, ...] = ()\n",
        (
            "tests.routing.connecting.test_expected.ExpectedTests.test_account_that_holds_most_of_a_full_table_makes_room",
        ),
    ),
    Mutant(
        "timer of an expectation not cancelled",
        "routing/connecting/expected.py",
        "        cancel(entry.timer)\n",
        "",
        (
            "tests.routing.connecting.test_expected_ends.ExactlyOnceTests.test_every_deferred_fires_once_in_any_order_of_events",
        ),
    ),
    Mutant(
        "expectations: one too many",
        "routing/connecting/expected.py",
        "return crowd if len(crowd) >= MAX_EXPECTED_PER_PEER else ()",
        "return crowd if len(crowd) > MAX_EXPECTED_PER_PEER else ()",
        ("tests.routing.connecting.test_expected.ExpectedTests.test_one_peer_cannot_fill_the_table",),
    ),
    Mutant(
        "an attempt for membership makes room for one that would replace a stream's tunnel",
        "routing/connecting/attempts.py",
        "if self._purpose(each).use <= tunnel.use:",
        "if True:",
        (
            "tests.routing.connecting.test_attempts_room.RoomTests.test_attempt_for_membership_outlasts_those_that_would_replace_a_tunnel_of_a_stream",
        ),
    ),
    Mutant(
        "the oldest attempt makes room, whatever it is for",
        "routing/connecting/attempts.py",
        "for each in sorted(crowd, key=lambda each: self._purpose(each).use is not use):",
        "for each in crowd:",
        (
            "tests.routing.connecting.test_attempts_room.RoomTests.test_without_a_link_an_older_request_for_the_same_use_goes_first",
        ),
    ),
    Mutant(
        "a request whose attempt made room waits for the rest of its time",
        "routing/connecting/connector.py",
        "            self.turn_away(peer, ended.nonce)\n",
        "            pass\n",
        (
            "tests.routing.connecting.test_connector.ImprovingTests.test_request_that_makes_room_for_another_ends",
        ),
    ),
    Mutant(
        "an answer goes on with a request that the end of another has ended",
        "routing/connecting/connector.py",
        "            if request not in self.requests:\n                return  # a callback of the other",
        "            if False:\n                return  # a callback of the other",
        (
            "tests.routing.connecting.test_connector.ImprovingTests.test_caller_whose_request_makes_room_may_stop_everything",
        ),
    ),
    Mutant(
        "a node that a stream has a tunnel to is never asked to be a member",
        "routing/connecting/outgoing_requests.py",
        "return any(self.linked(name, each.use) is None for each in self.to(name))",
        "return bool(self.to(name))",
        (
            "tests.routing.connecting.test_connector.ImprovingTests.test_request_to_replace_a_link_for_streams_seeks_nothing",
        ),
    ),
    Mutant(
        "an expectation's Deferred is left alone when its time is over",
        "routing/connecting/expected.py",
        "if not entry.arrival.called:  # the holder may have cancelled it just now",
        "if False:",
        (
            "tests.routing.connecting.test_expected_ends.ExactlyOnceTests.test_every_deferred_fires_once_in_any_order_of_events",
        ),
    ),
    Mutant(
        "an expectation whose timer was lost stays for ever",
        "routing/connecting/expected.py",
        "max_age_seconds=2 * EXPECTED_TIMEOUT_SECONDS",
        'max_age_seconds=float("inf")',
        (
            "tests.routing.connecting.test_expected_ends.ExactlyOnceTests.test_every_deferred_fires_once_in_any_order_of_events",
        ),
    ),
    Mutant(
        "the wall clock alone ends an expectation",
        "routing/connecting/expected.py",
        "if entry.since < overdue and self._get(*key) is entry:",
        "if self._get(*key) is entry:",
        ("tests.routing.connecting.test_expected.ExpectedTests.test_wall_clock_ends_no_expectation",),
    ),
    Mutant(
        "what was dialled for an expectation goes on when that has expired",
        "routing/connecting/attempts.py",
        "self.punches.give_up(entry.peer, entry.nonce)",
        "pass",
        (
            "tests.routing.connecting.test_attempts_property.AttemptsPropertyTests.test_expectation_and_dials_end_together_in_any_order_of_events",
        ),
    ),
    Mutant(
        "request: the link that a peer asks for once more is not probed",
        "routing/connecting/connect_request_validator.py",
        "            held.suspect()\n\n        def probed",
        "            pass\n\n        def probed",
        (
            "tests.routing.connecting.test_connect_request_validator.ConnectRequestValidatorTests.test_peer_that_asks_for_a_link_it_has_is_probed",
        ),
    ),
    Mutant(
        "request: the doubt of a link does not end the wait of a request for it",
        "routing/connecting/connect_request_validator.py",
        "waiting.call.reset(0)",
        "pass",
        (
            "tests.routing.connecting.test_connect_request_validator.ConnectRequestValidatorTests.test_request_is_accepted_when_the_link_is_doubted",
        ),
    ),
    Mutant(
        "request: a newer one does not take the place of one that waits",
        "routing/connecting/connect_request_validator.py",
        "        if not is_newer or not self._holds(asked.signed):",
        "        if True:",
        (
            "tests.routing.connecting.test_connect_request_validator.ConnectRequestValidatorTests.test_newer_request_takes_the_place_of_one_that_waits",
        ),
    ),
    Mutant(
        "request: forged ones have the link probed again",
        "routing/connecting/connect_request_validator.py",
        "        if not is_newer or not self._holds(asked.signed):",
        "        if not is_newer:",
        (
            "tests.routing.connecting.test_connect_request_validator.ConnectRequestValidatorTests.test_newer_request_takes_the_place_of_one_that_waits",
        ),
    ),
    Mutant(
        "request: recipient unchecked",
        "routing/connecting/connect_request_validator.py",
        "if request.recipient != self._own:",
        "if False:",
        ("tests.routing.test_intruder.RequestTests.test_request_for_another_recipient_is_refused",),
    ),
    Mutant(
        "request: expiry unchecked",
        "routing/connecting/connect_request_validator.py",
        "if expiry < now - skew or request.issued > now + skew:",
        "if False:",
        ("tests.routing.test_intruder.RequestTests.test_expired_request_is_refused",),
    ),
    Mutant(
        "request: signature unchecked",
        "routing/connecting/connect_request_validator.py",
        "        if not self._holds(asked.signed):\n",
        "        if False:\n",
        ("tests.routing.test_intruder.RequestTests.test_request_with_a_bad_signature_is_refused",),
    ),
    Mutant(
        "request: replays accepted",
        "routing/connecting/connect_request_validator.py",
        "if self._seen.seen(asked.key):",
        "if False:",
        ("tests.routing.test_intruder.RequestTests.test_replayed_request_is_not_acted_upon",),
    ),
    Mutant(
        "request: any address is dialled",
        "routing/connecting/candidates.py",
        "            if problem is None:\n                found",
        "            if True:\n                found",
        ("tests.routing.test_intruder.RequestTests.test_forbidden_addresses_of_a_request_are_not_dialled",),
    ),
    Mutant(
        "response: recipient and signature unchecked",
        "routing/connecting/connector.py",
        "if response.recipient != ours.name.raw or not body_holds(ours, network, RESPONSE_LABEL, signed):",
        "if False:",
        ("tests.routing.test_intruder.RequestTests.test_response_with_a_bad_signature_is_ignored",),
    ),
    Mutant(
        "a response that found no way is not sent again",
        "routing/connecting/responder.py",
        "if sent is not None and sent.attempt + 1 < MAX_ATTEMPTS:",
        "if False:",
        ("tests.routing.connecting.test_connector.WayTests.test_undeliverable_response_takes_other_ways",),
    ),
    Mutant(
        "a request that is repeated since its response was lost gets no answer",
        "routing/connecting/connect_request_validator.py",
        "self._verdicts.repeated(asked)",
        "pass",
        (
            "tests.routing.connecting.test_responder.RepeatedRequestTests.test_lost_answer_is_sent_again_when_the_request_is_repeated",
        ),
    ),
    Mutant(
        "copies of a request are answered as often as they come",
        "routing/connecting/responder.py",
        "if now - answered.at >= MIN_REPEAT_SECONDS and answered.repeated < MAX_REPEATED_ANSWERS:",
        "if True:",
        (
            "tests.routing.connecting.test_responder.RepeatedRequestTests.test_repetitions_set_nothing_new_to_work",
        ),
    ),
    Mutant(
        "what has the nonce of a request is answered like a copy of it",
        "routing/connecting/responder.py",
        "if answered is None or answered.request != asked.envelope.body:",
        "if answered is None:",
        (
            "tests.routing.connecting.test_responder.RepeatedRequestTests.test_forged_repetition_is_not_answered",
        ),
    ),
    Mutant(
        "a copy of a request is answered when its link is no longer expected",
        "routing/connecting/responder.py",
        "if self._attempts.expected.match(asked.peer, asked.request.nonce) is None:",
        "if False:",
        (
            "tests.routing.connecting.test_responder.RepeatedRequestTests.test_repetition_is_not_answered_once_the_link_is_no_longer_expected",
        ),
    ),
    Mutant(
        "a request that waited is refused since its own copy was accepted",
        "routing/connecting/connect_request_validator.py",
        "if asked.key in self._seen:\n                return",
        "if False:\n                return",
        (
            "tests.routing.connecting.test_connect_request_validator.ConnectRequestValidatorTests.test_copy_that_comes_once_the_link_is_doubted_is_the_one_that_counts",
        ),
    ),
    Mutant(
        "who asks for a link that the other end has dead waits for 20 s",
        "routing/connecting/connect_request_validator.py",
        "if problem is _LINKED and (asked.peer in self._waiting or self._holds(asked.signed)):",
        "if False:",
        (
            "tests.routing.connecting.test_connect_request_validator.ConnectRequestValidatorTests.test_one_signed_request_of_a_linked_peer_waits",
        ),
    ),
    Mutant(
        "a link that was not made counts as ours for ever",
        "routing/connecting/direct_links.py",
        "            self._idle.not_made(name)\n",
        "            pass\n",
        ("tests.routing.links.test_idle.InVainTests.test_link_that_is_not_made_does_not_count_as_ours",),
    ),
    Mutant(
        "a borrower that gives up has the link of another count as a peer's",
        "routing/connecting/direct_links.py",
        " and not self._connector.requests.is_under_way(name, LinkUse.DIRECT)",
        "",
        ("tests.routing.links.test_idle.InVainTests.test_it_does_while_somebody_else_waits_for_it",),
    ),
    Mutant(
        "a link that another borrower gets is never closed",
        "routing/connecting/direct_links.py",
        "        self._idle.borrow(link.peer)\n",
        "",
        (
            "tests.routing.links.test_idle.InVainTests.test_link_that_another_borrower_gets_is_closed_when_it_is_given_back",
        ),
    ),
    Mutant(
        "a request that is not expected has its relays remembered",
        "routing/connecting/responder.py",
        "        # in this order: what the peer has given up goes before the limits are looked at\n",
        "        self._relays.told(peer, request.relays)\n",
        (
            "tests.routing.connecting.test_responder.RepeatedRequestTests.test_request_beyond_the_limits_leaves_nothing_of_its_relays",
        ),
    ),
    Mutant(
        "a request waits for the probe of a link that is lost",
        "routing/connecting/connect_request_validator.py",
        "        self._judge_soon(peer)\n\n    def _judge_soon",
        "        pass\n\n    def _judge_soon",
        (
            "tests.routing.connecting.test_connect_request_validator.ConnectRequestValidatorTests.test_request_is_accepted_when_the_link_is_lost",
        ),
    ),
    Mutant(
        "a request goes on naming the address that a router had before",
        "routing/connecting/connector.py",
        "request.answered or request.candidates == self._candidates.ours()",
        "True",
        (
            "tests.routing.connecting.test_connector.WayTests.test_request_that_names_an_address_that_is_not_ours_any_more_is_made_anew",
        ),
    ),
    Mutant(
        "a request that vanished in a dead link is not sent again",
        "routing/connecting/outgoing_request.py",
        "            self._repeat = self._node.clock.callLater(waits[0], again)",
        "            pass",
        (
            "tests.routing.connecting.test_connector.WayTests.test_request_that_somebody_waits_for_is_sent_again_until_it_is_answered",
        ),
    ),
    Mutant(
        "requests of a peer that it has given up keep its next one out",
        "routing/connecting/expected.py",
        "if not is_newer and self._clock",
        "if self._clock",
        (
            "tests.routing.connecting.test_expected.ExpectedTests.test_newer_request_of_a_full_peer_takes_the_place_of_the_oldest",
        ),
    ),
    Mutant(
        "requests with the right time are given up with a new one",
        "routing/connecting/connector.py",
        "(self._node.clock.seconds() - request.sent)) > MAX_TIME_SHIFT_SECONDS:",
        "(self._node.clock.seconds() - request.sent)) >= 0:",
        (
            "tests.routing.connecting.test_connector.TimeTests.test_request_with_a_wrong_time_is_given_up_when_the_time_is_known",
        ),
    ),
    Mutant(
        "a link is raised although its prefix is full in the table",
        "routing/connecting/connect_request_validator.py",
        " and self._links.has_room(name, use)",
        "",
        (
            "tests.routing.connecting.test_connect_request_validator.ConnectRequestValidatorTests.test_link_that_has_no_room_in_the_table_is_not_raised",
        ),
    ),
    Mutant(
        "a peer that asks again too soon drives out its own request",
        "routing/connecting/expected.py",
        "if not is_newer and self._clock.seconds() - entry.since < REQUEST_INTERVAL_SECONDS:",
        "if False:",
        (
            "tests.routing.connecting.test_expected.ExpectedTests.test_oldest_expectation_of_a_full_peer_makes_room",
        ),
    ),
    Mutant(
        "a peer that we ask for a link ourselves is a stranger",
        "routing/connecting/responder.py",
        " or self._requests.to(peer)",
        "",
        ("tests.routing.connecting.test_new_address.SlowTests.test_stream_works_soon_where_all_is_slow",),
    ),
    Mutant(
        "a peer to whom a tunnel leads is a stranger",
        "routing/connecting/responder.py",
        "if self._attempts.wants_better(peer) or self._requests.to(peer):",
        "if self._requests.to(peer):",
        (
            "tests.routing.connecting.test_office.OfficeTests.test_strangers_cannot_keep_a_tunnel_from_being_replaced",
        ),
    ),
    Mutant(
        "each request has a node compare all of its links with each other",
        "routing/connecting/relay_choice.py",
        "        return [each for each in self._links.peers if self._is_usable(each, other, kept)]\n",
        "        return [each for each in self._links.peers if self._is_usable(each, other, self._kept())]\n",
        (
            "tests.routing.connecting.test_relay_choice.RelayChoiceTests.test_many_links_are_looked_through_a_few_times_for_a_request",
        ),
    ),
    Mutant(
        "nodes that a full relay has no place for in its table find no relay between them",
        "routing/connecting/relay_choice.py",
        "return {self._neighbourhood.proxy, *(each.link.via for each in self._links.peers)}",
        "return {self._neighbourhood.proxy}",
        (
            "tests.routing.connecting.test_relay_choice.RelayChoiceTests.test_node_that_a_tunnel_goes_through_is_usable_though_its_table_has_no_room",
        ),
    ),
    Mutant(
        "a peer whose link may be dead is a stranger",
        "routing/connecting/attempts.py",
        "(link.path_kind is PathKind.TUNNEL or link.is_doubted)",
        "link.path_kind is PathKind.TUNNEL",
        (
            "tests.routing.connecting.test_attempts.AttemptTests.test_better_link_is_wanted_where_there_is_a_tunnel_or_one_that_may_be_dead",
        ),
    ),
    Mutant(
        "peers with tunnels may have any number of addresses dialled",
        "routing/connecting/candidates.py",
        "if not self._by_tunnel.may_take(asked_by):",
        "if False:",
        (
            "tests.routing.connecting.test_candidates.CandidatesTests.test_peer_with_a_tunnel_is_dialled_as_if_it_had_answered",
        ),
    ),
    Mutant(
        "requests of a peer that came to nothing take the room of ours to it",
        "routing/connecting/expected.py",
        "(each for each in self.of_peer(peer) if isinstance(each, ExpectedResponse) is own)",
        "iter(self.of_peer(peer))",
        (
            "tests.routing.connecting.test_expected.ExpectedTests.test_requests_of_a_peer_leave_room_for_ours_to_it",
        ),
    ),
    Mutant(
        "a request goes on when nobody waits for it",
        "routing/connecting/connector.py",
        "Waiters(partial(self._abandon, name, use))",
        "Waiters()",
        ("tests.routing.connecting.test_connector.WayTests.test_cancelled_connect_asks_no_more",),
    ),
    Mutant(
        "a contact on a port below 1024 is a stranger",
        "routing/connecting/candidates.py",
        "if endpoint not in crust.endpoints and crust.is_known(endpoint, peer):",
        "if False:",
        (
            "tests.routing.connecting.test_candidates.CandidatesTests.test_contact_is_dialled_on_whatever_port_it_is",
        ),
    ),
    Mutant(
        "a peer with a link has any port of a third party dialled",
        "routing/connecting/candidates.py",
        "if is_its_own else WEB_PORTS",
        "if at else WEB_PORTS",
        (
            "tests.routing.connecting.test_candidates.CandidatesTests.test_peer_with_a_link_may_name_any_port_of_its_own_address",
        ),
    ),
    Mutant(
        "a peer is dialled only where it says that it listens",
        "routing/connecting/candidates.py",
        "found += [each for each in self._known_at(peer) if each not in found]",
        "found += []",
        (
            "tests.routing.connecting.test_candidates.CandidatesTests.test_known_peer_is_dialled_where_it_is_known_as_well",
        ),
    ),
    Mutant(
        "neighbours behind a carrier's NAT do not dial each other inside",
        "routing/connecting/candidates.py",
        "networks += crust.inner_networks",
        "pass",
        (
            "tests.routing.connecting.test_candidates.CandidatesTests.test_inner_address_is_dialled_between_peers_that_share_the_outer_one",
        ),
    ),
    Mutant(
        "a stranger elsewhere has hosts of our carrier dialled",
        "routing/connecting/candidates.py",
        "if {from_wire(each).host for each in given} & {each.host for each in crust.outside}:",
        "if True:",
        (
            "tests.routing.connecting.test_candidates.CandidatesTests.test_inner_address_is_dialled_between_peers_that_share_the_outer_one",
        ),
    ),
)
