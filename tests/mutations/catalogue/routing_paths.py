"""Bugs in what a request leads to: punching, tunnels, relays, and whether others can dial us."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a link stays on the longer way",
        "routing/connecting/faster_paths.py",
        "await self._move(peer, endpoint)",
        "pass",
        (
            "tests.routing.connecting.test_faster_paths.MovingTests.test_link_of_a_stream_moves_to_the_nearer_address_and_loses_nothing",
        ),
    ),
    Mutant(
        "addresses are dialled for links that nobody uses",
        "routing/connecting/faster_paths.py",
        " and self._in_use(peer.name)",
        "",
        (
            "tests.routing.connecting.test_faster_paths.MovingTests.test_link_that_nobody_uses_stays_and_nobody_is_dialled_for_it",
        ),
    ),
    Mutant(
        "a link moves for a small gain",
        "routing/connecting/faster_paths.py",
        "now - max(MIN_GAIN_SECONDS, MIN_GAIN_SHARE * now)",
        "now",
        (
            "tests.routing.connecting.test_faster_paths.MovingTests.test_small_gain_or_a_short_one_moves_nothing",
        ),
    ),
    Mutant(
        "an address without an answer is nearest",
        "routing/connecting/faster_paths.py",
        "if answered else inf",
        "if answered else 0.0",
        (
            "tests.routing.connecting.test_faster_paths.MovingTests.test_address_that_does_not_answer_is_no_path",
        ),
    ),
    Mutant(
        "a link moves though its own address cannot be compared",
        "routing/connecting/faster_paths.py",
        "-inf if isinf(now) else",
        "inf if isinf(now) else",
        (
            "tests.routing.connecting.test_faster_paths.MovingTests.test_link_stays_where_its_own_address_does_not_answer_any_more",
        ),
    ),
    Mutant(
        "a link that has become slower waits for its turn",
        "routing/connecting/faster_paths.py",
        " or each.is_slower",
        "",
        (
            "tests.routing.connecting.test_faster_paths.MovingTests.test_link_that_has_become_slower_is_judged_at_once",
        ),
    ),
    Mutant(
        "addresses are dialled every half minute for as long as a stream is open",
        "routing/connecting/faster_paths.py",
        "self._node.clock.seconds() + watched.waits.next_wait()",
        "0.0",
        (
            "tests.routing.connecting.test_faster_paths.MovingTests.test_quiet_links_are_judged_less_and_less_often",
        ),
    ),
    Mutant(
        "an observer that does not answer after a change is dialled ten minutes later",
        "routing/connecting/reachability_checks.py",
        "                self._check_soon(PAUSE_SECONDS)\n",
        "                pass\n",
        (
            "tests.routing.connecting.test_reachability_checks.ReachabilityTests.test_observer_that_does_not_answer_after_a_change_is_dialled_again_soon",
        ),
    ),
    Mutant(
        "a tunnel waits although we are seen elsewhere",
        "routing/connecting/reachability_checks.py",
        "            self._seen_elsewhere()\n",
        "            pass\n",
        (
            "tests.routing.connecting.test_reachability_checks.ReachabilityTests.test_tunnels_are_tried_again_when_we_are_seen_elsewhere",
        ),
    ),
    Mutant(
        "plain dials are spent between two cones",
        "routing/connecting/rendezvous.py",
        "self._near(endpoints) if plain_is_hopeless(ours, nat) else endpoints",
        "endpoints",
        (
            "tests.routing.connecting.test_rendezvous.HolePunchTests.test_cone_that_may_be_dialable_is_dialled_plainly",
        ),
    ),
    Mutant(
        "an address that is not the asker's is dialled back",
        "routing/connecting/dial_back_helper.py",
        "if any(from_wire(each).host != at.host for each in message.endpoints):",
        "if False:",
        (
            "tests.routing.connecting.test_dial_back_helper.HelperTests.test_asker_that_names_a_victims_address_loses_its_link",
        ),
    ),
    Mutant(
        "a stream waits for the tunnel of a routing table",
        "routing/connecting/rendezvous.py",
        "each.rank[0] == hole_punch.rank[0] and each.begun < latest",
        "each.begun < latest",
        (
            "tests.routing.connecting.test_rendezvous.HolePunchTests.test_stream_does_not_wait_for_the_tunnel_of_a_table",
        ),
    ),
    Mutant(
        "no tunnel is made when the link it waited for is refused",
        "routing/connecting/rendezvous.py",
        "            if checks:\n",
        "            if False:\n",
        (
            "tests.routing.connecting.test_rendezvous.HolePunchTests.test_tunnel_waits_for_a_link_that_may_still_be_refused",
        ),
    ),
    Mutant(
        "nobody waits for the tunnel of a stream",
        "routing/connecting/rendezvous.py",
        "awaited = hole_punch.rank[0] is LinkUse.DIRECT",
        "awaited = False",
        ("tests.routing.connecting.test_rendezvous.HolePunchTests.test_tunnel_for_a_direct_link_is_awaited",),
    ),
    Mutant(
        "a tunnel's relay is chosen by one half of the way",
        "routing/connecting/relay_choice.py",
        "return own.round_trip.smoothed_or(inf) + theirs + waited",
        "return own.round_trip.smoothed_or(inf)",
        ("tests.routing.connecting.test_nearest_relay.ChoosingTests",),
    ),
    Mutant(
        "what a tunnel waits at its relay is not remembered",
        "routing/connecting/relay_choice.py",
        "        if waited > 0:\n            self._waits.put",
        "        if False:\n            self._waits.put",
        (
            "tests.routing.connecting.test_nearest_relay.MovingTests.test_end_that_lies_has_a_slow_tunnel_and_no_more",
        ),
    ),
    Mutant(
        "a tunnel stays with a relay that has become slow",
        "routing/connecting/tunnel_manager.py",
        "self._connector.improve(tunnel.name, tunnel.use)\n\n    def _make_again",
        "pass\n\n    def _make_again",
        (
            "tests.routing.connecting.test_nearest_relay.MovingTests.test_tunnel_whose_relay_becomes_slow_is_moved_and_loses_nothing",
        ),
    ),
    Mutant(
        "a faster tunnel does not take the place of the slower one",
        "routing/membership/policy.py",
        "if verdict is not None and self._moves(link, verdict.use):",
        "if False:",
        (
            "tests.routing.connecting.test_nearest_relay.MovingTests.test_tunnel_whose_relay_becomes_slow_is_moved_and_loses_nothing",
        ),
    ),
    Mutant(
        "a tunnel is moved for any gain",
        "routing/connecting/relay_choice.py",
        "if seconds <= enough]",
        "if seconds < now]",
        (
            "tests.routing.connecting.test_nearest_relay.MovingTests.test_tunnel_is_not_moved_for_a_small_gain_or_soon",
        ),
    ),
    Mutant(
        "a relay that may be dead is tried first",
        "routing/connecting/relay_choice.py",
        "key=lambda name: (self._is_doubted(peer, name), self.seconds(peer, name)),",
        "key=lambda name: self.seconds(peer, name),",
        (
            "tests.routing.connecting.test_nearest_relay.ChoosingTests.test_relay_whose_link_may_be_dead_is_tried_last",
        ),
    ),
    Mutant(
        "a pair whose relays all have faults has none",
        "routing/connecting/relay_choice.py",
        "self._fault_weight(peer, name) < REFUSE_AT",
        "not self.is_distrusted(peer, name)",
        (
            "tests.routing.connecting.test_relay_choice.RelayChoiceTests.test_faulty_node_comes_last_for_a_minute",
        ),
    ),
    Mutant(
        "a relay whose tunnels break is tried without end",
        "routing/connecting/relay_choice.py",
        "self._fault_weight(peer, name) < REFUSE_AT",
        "True",
        (
            "tests.routing.connecting.test_relay_choice.RelayChoiceTests.test_node_whose_tunnels_go_on_breaking_is_not_tried_for_a_minute",
        ),
    ),
    Mutant(
        "the relay of a silent tunnel is tried first",
        "routing/connecting/relay_choice.py",
        "return through or (",
        "return (",
        (
            "tests.routing.connecting.test_nearest_relay.ChoosingTests.test_relay_of_a_silent_tunnel_is_tried_last",
        ),
    ),
    Mutant(
        "an end that only answers heartbeats does not measure its tunnel",
        "routing/connecting/tunnel_manager.py",
        "                self._relays.probe(peer)",
        "                pass",
        (
            "tests.routing.connecting.test_nearest_relay.ChoosingTests.test_both_ends_measure_a_quiet_tunnel_and_their_halves",
        ),
    ),
    Mutant(
        "a peer behind a silent relay is asked through it",
        "routing/connecting/relay_choice.py",
        "return self._links.link_to(others[0][1]) if others else None",
        "return None",
        (
            "tests.routing.connecting.test_nearest_relay.DyingTests.test_peer_is_asked_by_the_next_relay_when_the_first_is_silent",
        ),
    ),
    Mutant(
        "two requests of one peer punch between the same ports",
        "routing/connecting/rendezvous.py",
        "each.punching is not None and each.preference < hole_punch.preference:",
        "False:",
        (
            "tests.routing.connecting.test_rendezvous.HolePunchTests.test_preferred_request_ends_the_punching_for_another",
        ),
    ),
    Mutant(
        "an end that is ready leaves the tunnel to one that is not",
        "routing/connecting/rendezvous.py",
        "each.rank[0] == hole_punch.rank[0] and each.begun < latest",
        "each.rank[0] == hole_punch.rank[0]",
        (
            "tests.routing.connecting.test_rendezvous.HolePunchTests.test_end_whose_request_was_answered_long_before_the_preferred_one_makes_the_tunnel",
        ),
    ),
    Mutant(
        "a request that a reset has voided is not sent again",
        "routing/connecting/connector.py",
        "                request.send_again()\n\n    def response_received",
        "                pass\n\n    def response_received",
        (
            "tests.routing.connecting.test_connector.ResetTests.test_request_that_was_sent_over_a_link_before_it_was_reset_goes_out_again",
        ),
    ),
    Mutant(
        "a peer that has moved waits for the probe of its former address",
        "routing/connecting/connect_request_validator.py",
        "held.link.is_doubted or _has_moved(held.link, request)",
        "held.link.is_doubted",
        (
            "tests.routing.connecting.test_connect_request_validator.ConnectRequestValidatorTests.test_request_of_a_peer_that_has_moved_does_not_wait",
        ),
    ),
    Mutant(
        "the link to the former address of a peer is not looked at",
        "routing/connecting/connect_request_validator.py",
        "                held.suspect()\n            self._verdicts",
        "                pass\n            self._verdicts",
        (
            "tests.routing.connecting.test_connect_request_validator.ConnectRequestValidatorTests.test_request_of_a_peer_that_has_moved_does_not_wait",
        ),
    ),
    Mutant(
        "a tunnel waits for a membership that does not come",
        "routing/connecting/tunnel_opener.py",
        "MAX_MEMBERSHIP_WAIT_SECONDS) - age",
        "MAX_MEMBERSHIP_WAIT_SECONDS)",
        (
            "tests.routing.connecting.test_tunnel_opener.TunnelOpenerTests.test_tunnel_does_not_wait_for_an_old_request",
        ),
    ),
    Mutant(
        "a relay without room for us in its table carries tunnels soon all the same",
        "routing/connecting/tunnel_opener.py",
        "            with suppress(RoutingCrustError):\n                return await",
        "            if True:\n                return await",
        (
            "tests.routing.connecting.test_tunnel_opener.TunnelOpenerTests.test_tunnel_goes_over_the_present_link_of_a_relay_that_does_not_answer",
        ),
    ),
    Mutant(
        "each key has a share of the dials back",
        "routing/connecting/dial_back_helper.py",
        "        account = account_of(link)\n",
        "        account = (str(link.peer),)\n",
        (
            "tests.routing.connecting.test_dial_back_helper.HelperTests.test_keys_of_one_prefix_leave_a_quota_to_others",
        ),
    ),
    Mutant(
        "four dials without an answer keep a helper from dialling for others",
        "routing/connecting/dial_back_helper.py",
        "if name == self._node.name or not",
        "if name == self._node.name or len(self._dials) >= 4 or not",
        (
            "tests.routing.connecting.test_dial_back_helper.HelperTests.test_slow_dials_of_a_peer_keep_no_other_from_help",
        ),
    ),
    Mutant(
        "a helper that knows the asker does not dial it",
        "routing/connecting/dial_back_helper.py",
        "if name == self._node.name or not",
        "if self._knows(name, tuple(map(from_wire, message.endpoints))) or not",
        ("tests.routing.connecting.test_dial_back_helper.HelperTests.test_helper_does_not_dial_itself",),
    ),
    Mutant(
        "a node looks ten minutes later whether it can be dialled",
        "routing/connecting/reachability_checks.py",
        "wait = self._backoff.next_wait() if unknown else INTERVAL_SECONDS",
        "wait = INTERVAL_SECONDS",
        (
            "tests.routing.connecting.test_reachability_checks.ReachabilityTests.test_checks_are_repeated_sooner_while_nothing_is_known",
        ),
    ),
)
