"""Bugs in the node as a whole, and in guessing ports."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a link that an application has taken over is still a way into the network",
        "routing/membership/attachment.py",
        "if before is not None and self._is_a_way_in(before) and not self._is_a_way_in(peer):",
        "if False:",
        (
            "tests.routing.membership.test_ways_in.WayInTests.test_link_that_only_an_application_uses_any_more_is_no_way_in",
        ),
    ),
    Mutant(
        "a node whose contacts all have links of applications does not join",
        "routing/membership/neighbourhood.py",
        "        if not self.bootstrapped:\n            return tuple(",
        "        if False:\n            return tuple(",
        (
            "tests.routing.membership.test_ways_in.WayInTests.test_node_joins_by_a_requested_link_where_nobody_else_can_be_dialled",
        ),
    ),
    Mutant(
        "a network may have all of a close group",
        "routing/mixed_groups.py",
        "if all(taken[network] < share for network in each):",
        "if True:",
        (
            "tests.routing.test_mixed_groups.CrowdTests.test_crowd_of_one_network_has_a_quarter_of_every_group",
        ),
    ),
    Mutant(
        "a close group stays small where one network is all there is",
        "routing/mixed_groups.py",
        "        share += 1\n",
        "        break\n",
        ("tests.routing.test_mixed_groups.MixedTests.test_all_who_are_there_are_fewer_than_a_group",),
    ),
    Mutant(
        "each node of a crowd has a voice on where others are",
        "routing/mixed_groups.py",
        "voices.setdefault(name, {})[here] = ",
        "voices.setdefault(name, {})[(informant.raw,)] = ",
        ("tests.routing.test_mixed_groups.WhereaboutsTests.test_each_network_has_one_voice",),
    ),
    Mutant(
        "one network spreads its nodes over others by its word",
        "routing/mixed_groups.py",
        "alone = not placed and len(ours) < MIN_VOICES",
        "alone = True",
        ("tests.routing.test_mixed_groups.WhereaboutsTests.test_one_network_alone_speaks_for_itself",),
    ),
    Mutant(
        "timers that are started in the middle of a stop are kept",
        "routing/service.py",
        "        self._timers.stop()\n",
        "",
        (
            "tests.routing.test_stopping.NaturalTests.test_a_service_is_stopped_in_the_callback_of_being_connected",
        ),
    ),
    Mutant(
        "an incarnation can come twice",
        "routing/incarnation.py",
        "last + 1, _read(path) + 1)",
        "last, _read(path))",
        ("tests.routing.test_incarnation.IncarnationTests.test_incarnation_grows_when_the_clock_goes_back",),
    ),
    Mutant(
        "after Terminated links are let in",
        "routing/core.py",
        "        if self.state is State.TERMINATED:\n            link.close",
        "        if False:\n            link.close",
        (
            "tests.routing.links.test_link_admission.StateTests.test_link_that_comes_after_the_stop_is_closed_without_a_frame",
        ),
    ),
    Mutant(
        "those who wait for the group are forgotten at the stop",
        "routing/links_by_name.py",
        "self._waiting_for_way, self._waiting_for_group):",
        "self._waiting_for_way):",
        ("tests.routing.test_network.TalkingTests.test_calls_fail_at_once_without_a_link_or_after_the_stop",),
    ),
    Mutant(
        "those who wait for a way into the network are forgotten at the stop",
        "routing/links_by_name.py",
        "self._waiting_for_way, self._waiting_for_group):",
        "self._waiting_for_group):",
        ("tests.routing.test_network.TalkingTests.test_calls_fail_at_once_without_a_link_or_after_the_stop",),
    ),
    Mutant(
        "the next request for a better link ends the guessing of ports",
        "routing/connecting/connector.py",
        "if request is not None and self._attempts.punches.guesses(name, request.nonce):",
        "if request is not None and request.waiting:",
        (
            "tests.routing.connecting.test_connector.GuessingTests.test_request_for_which_ports_are_guessed_is_not_given_up_for_another",
        ),
    ),
    Mutant(
        "ports are guessed without the consent of the peer",
        "routing/connecting/rendezvous.py",
        "tunnel = self._replaceable_tunnel(peer) if guesses else None",
        "tunnel = self._replaceable_tunnel(peer)",
        (
            "tests.routing.connecting.test_rendezvous.HolePunchTests.test_ports_are_guessed_only_where_both_ends_agree",
        ),
    ),
    Mutant(
        "two requests that cross keep ports from being guessed",
        "routing/connecting/rendezvous.py",
        "        hole_punch.guesses = guess is not None\n",
        "",
        (
            "tests.routing.connecting.test_rendezvous.HolePunchTests.test_request_for_which_ports_are_guessed_is_preferred",
        ),
    ),
    Mutant(
        "both ends ask for guessed ports",
        "routing/connecting/attempts.py",
        "return told_nat(self._crust) is NatKind.SYMMETRIC and self.replaceable_tunnel(peer) is not None",
        "return self.replaceable_tunnel(peer) is not None",
        (
            "tests.routing.connecting.test_connector.GuessingTests.test_only_the_symmetric_end_asks_for_guessed_ports",
        ),
    ),
    Mutant(
        "another request ends the guessing of ports",
        "routing/connecting/attempts.py",
        "for each in crowd if not self.punches.guesses(peer, each.nonce))",
        "for each in crowd)",
        (
            "tests.routing.connecting.test_attempts_room.RoomTests.test_attempt_for_which_ports_are_guessed_makes_no_room",
        ),
    ),
    Mutant(
        "ports are guessed for a tunnel that nothing uses",
        "routing/connecting/attempts.py",
        " or not self._in_use(peer):",
        ":",
        (
            "tests.routing.connecting.test_attempts.AttemptTests.test_ports_are_guessed_only_for_a_tunnel_in_use_that_crust_would_replace",
        ),
    ),
    Mutant(
        "what a lost node was asked holds a round of joining up",
        "routing/core.py",
        "                self.lookup,\n                self.messenger,\n",
        "                self.messenger,\n",
        (
            "tests.routing.links.test_peer_listeners.CoreTests.test_each_part_of_a_node_that_follows_peers_hears_of_them",
        ),
    ),
    Mutant(
        "requests with a wrong time are waited for when the time is known",
        "routing/core.py",
        "        self.time.when_moved(self.connector.time_moved)\n",
        "",
        (
            "tests.routing.connecting.test_connector.TimeTests.test_request_with_a_wrong_time_is_given_up_when_the_time_is_known",
            "tests.routing.connecting.test_connector.TimeTests.test_node_that_was_silent_is_asked_again_when_the_time_is_known",
        ),
    ),
    Mutant(
        "nobody is asked where we are seen when the network has changed",
        "routing/core.py",
        "        self.reachability.network_changed()\n",
        "",
        (
            "tests.routing.connecting.test_reachability_checks.ReachabilityTests.test_check_follows_soon_when_the_network_of_the_host_has_changed",
        ),
    ),
    Mutant(
        "two symmetric NATs are punched",
        "routing/nat_pairs.py",
        "return not (one is NatKind.SYMMETRIC and other is NatKind.SYMMETRIC)",
        "return True",
        ("tests.routing.test_nat_pairs.NatTests.test_only_two_symmetric_nats_cannot_be_punched",),
    ),
    Mutant(
        "both ends wait for a dial that the NAT of a newcomer does not let in",
        "routing/nat_pairs.py",
        "        return NatKind.TRANSLATED\n",
        "        return NatKind.UNKNOWN\n",
        ("tests.routing.test_first_join",),
    ),
    Mutant(
        "a Hello does not say that the peer sees its sender elsewhere",
        "routing/links/handshake.py",
        "nat=nat_of_hello(crust)",
        "nat=crust.nat",
        ("tests.routing.test_first_join",),
    ),
    Mutant(
        "a node with a mapped port says that it cannot be dialled",
        "routing/nat_pairs.py",
        "seen_elsewhere and not _has_open_end(crust)",
        "seen_elsewhere",
        (
            "tests.routing.test_nat_pairs.NatTests.test_hello_says_at_once_that_a_peer_sees_the_node_elsewhere",
        ),
    ),
    Mutant(
        "a text is taken for a name as it is",
        "routing/messages_by_name.py",
        "lambda core: core.messenger.send(to, body)",
        "lambda core: core.messenger.send(name, body)",
        ("tests.routing.test_names_as_text.NamesAsTextTests.test_a_nickname_of_the_settings_will_do_too",),
    ),
    Mutant(
        "a service may be started while it stops",
        "routing/service.py",
        "        if self._stopping:\n",
        "        if False:\n",
        (
            "tests.routing.test_network.JoiningTests.test_start_in_the_middle_of_a_run_or_of_a_stop_is_refused",
        ),
    ),
    Mutant(
        "the status shows a link that may be dead as one that works",
        "routing/reporting/status.py",
        "round(peer.link.owed_for, 1) if peer.link.is_doubted else None",
        "None",
        ("tests.routing.reporting.test_explain.ExplainTests.test_link_whose_peer_owes_an_answer_says_so",),
    ),
    Mutant(
        "an address that is never dialled may be dialled",
        "routing/reporting/explain.py",
        'refused = "" if obstacle else refusal(name, endpoint)',
        'refused = ""',
        (
            "tests.routing.reporting.test_explain.ExplainTests.test_never_and_may_be_are_not_said_of_one_address",
        ),
    ),
    Mutant(
        "errors do not say what people call a node",
        "routing/service.py",
        "self.directory.brief,",
        "str,",
        ("tests.routing.absence.test_absence.GoneTests",),
    ),
)
