"""Bugs in the table, joining and groups."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a banned member is in close groups that others name",
        "routing/membership/close_group_lookup.py",
        "for name in members if not self._node.members.is_banned(name)]",
        "for name in members]",
        (
            "tests.routing.private.test_expulsion.BanTests.test_banned_member_is_in_no_close_group_that_others_name",
        ),
    ),
    Mutant(
        "a member all of whose links are silent looks for no proxy",
        "routing/membership/attachment.py",
        "            self._node.crust.bootstrap()\n",
        "            pass\n",
        (
            "tests.routing.membership.test_ways_in.BrokenPathTests.test_node_looks_for_a_proxy_beside_links_that_are_silent",
        ),
    ),
    Mutant(
        "a member takes no proxy beside links that may be dead",
        "routing/membership/attachment.py",
        "or 0 <= since < BESIDE_SECONDS",
        "or False",
        (
            "tests.routing.membership.test_ways_in.BrokenPathTests.test_node_looks_for_a_proxy_beside_links_that_are_silent",
        ),
    ),
    Mutant(
        "a member looks for a proxy although a link brings something",
        "routing/membership/attachment.py",
        "if not any(map(self._has_heard, ways_in)):",
        "if True:",
        (
            "tests.routing.membership.test_ways_in.BrokenPathTests.test_node_looks_for_none_while_a_link_brings_something",
        ),
    ),
    Mutant(
        "a proxy beside members stays although these live",
        "routing/membership/attachment.py",
        "elif any(map(self._has_heard, members)) and",
        "elif False and",
        (
            "tests.routing.membership.test_ways_in.BrokenPathTests.test_proxy_is_let_go_and_no_other_is_sought_when_the_links_live",
        ),
    ),
    Mutant(
        "a proxy beside members goes though most of them are lost",
        "routing/membership/attachment.py",
        "            if self._joiner.misses_neighbours:",
        "            if False:",
        (
            "tests.routing.membership.test_ways_in.BrokenPathTests.test_proxy_stays_until_the_lost_neighbours_are_back",
        ),
    ),
    Mutant(
        "a proxy that is the only way in by now is not tried",
        "routing/membership/attachment.py",
        "            self._trial.proxy_changed(proxy)\n",
        "            pass\n",
        (
            "tests.routing.membership.test_ways_in.BrokenPathTests.test_proxy_is_kept_and_tried_when_the_last_member_is_lost",
        ),
    ),
    Mutant(
        "what came through a tunnel long ago says that the path is there",
        "routing/membership/attachment.py",
        "return (carrier or link).has_heard",
        "return link.has_heard",
        (
            "tests.routing.membership.test_ways_in.BrokenPathTests.test_tunnel_is_as_silent_as_the_link_to_its_relay",
        ),
    ),
    Mutant(
        "a table's request gets into the way of one for a stream",
        "routing/membership/joining.py",
        "            and not asked.is_seeking(name)\n",
        "",
        (
            "tests.routing.membership.test_joining.AskedLaterTests.test_member_that_a_stream_asks_already_is_asked_later",
        ),
    ),
    Mutant(
        "a search of a close group goes on after it was cancelled",
        "routing/membership/close_group_search.py",
        "if patience.active() and any(isinstance(each, CancelledError) for each in problems):",
        "if False:",
        (
            "tests.routing.membership.test_close_group_search.CloseGroupSearchTests.test_cancelled_search_asks_nobody_any_more",
        ),
    ),
    Mutant(
        "others learn with whom an application has a link",
        "routing/membership/neighbourhood.py",
        "(peer.use is not LinkUse.DIRECT or peer.facts.is_client)",
        "True",
        (
            "tests.routing.absence.test_absence.GoneTests.test_others_do_not_learn_with_whom_an_application_has_a_link",
        ),
    ),
    Mutant(
        "a client that has left its proxy is said to be there",
        "routing/membership/neighbourhood.py",
        "return None if proxy == own else proxy",
        "return proxy",
        (
            "tests.routing.absence.test_absence.GoneTests.test_client_that_is_gone_is_given_up_early_although_its_record_is_kept",
        ),
    ),
    Mutant(
        "a newcomer believes the node that is nearest to it alone",
        "routing/membership/joining.py",
        "of = self._some_members() or [hop.peer for hop in hops]",
        "of = self._some_members()",
        ("tests.routing.membership.test_joining.LiarTests",),
    ),
    Mutant(
        "who answers first says whom a joining node asks",
        "routing/membership/joining.py",
        "self._consider_in_turn(groups)",
        "[self.consider(group) for group in groups]",
        ("tests.routing.membership.test_joining.LiarTests",),
    ),
    Mutant(
        "a lookup that is not answered keeps a newcomer waiting",
        "routing/membership/joining.py",
        "each.addCallback(self._heard, max(1, self._may_ask // len(asked)))",
        "each.addCallback(lambda found: found)",
        ("tests.routing.membership.test_joining.LiarTests",),
    ),
    Mutant(
        "a full bucket makes room for a third node of one network",
        "routing/membership/routing_table.py",
        "        return newcomer in mixed(entries, _networks, self._group_size)\n",
        "        return newcomer in mixed(entries, lambda _: (), self._group_size)\n",
        (
            "tests.routing.test_mixed_groups.CrowdTests.test_table_lets_no_third_node_of_a_network_into_the_close_group",
        ),
    ),
    Mutant(
        "an answer about a close group says nothing of networks",
        "routing/membership/close_group_search.py",
        "                where.heard(group.informant, group.networks)\n",
        "",
        (
            "tests.routing.test_mixed_groups.CrowdTests.test_crowd_of_one_network_has_a_quarter_of_every_group",
        ),
    ),
    Mutant(
        "a node that never joins keeps its place at the proxy",
        "routing/membership/proxied.py",
        "            self._joining.add(peer.name)\n",
        "            pass\n",
        ("tests.routing.membership.test_proxied.ProxyTests.test_node_that_does_not_join_is_let_go",),
    ),
    Mutant(
        "clients take the places of joining nodes",
        "routing/membership/proxied.py",
        "client_places = most - most // PLACES_PER_JOINING_PLACE",
        "client_places = most",
        (
            "tests.routing.membership.test_proxied.ProxyTests.test_a_quarter_of_the_places_is_kept_for_joining_nodes",
        ),
    ),
    Mutant(
        "the link of the proxy is closed when the second direction comes up",
        "routing/membership/attachment.py",
        "peer.use is LinkUse.ATTACHED and peer.name not in (self._neighbourhood.proxy, *self._former):",
        "peer.use is LinkUse.ATTACHED:",
        (
            "tests.routing.membership.test_cold_start.ColdStartTests.test_two_nodes_that_know_only_each_other_never_lose_their_link",
        ),
    ),
    Mutant(
        "strangers are let in while bootstrapping",
        "routing/membership/policy.py",
        "if not may_accept and (facts.is_client or not self._is_known(link.peer)):",
        "if False:",
        ("tests.routing.links.test_link_admission.StateTests.test_stranger_is_refused_while_bootstrapping",),
    ),
    Mutant(
        "a link that nobody asked for is kept",
        "routing/membership/policy.py",
        'return verdict or Refuse(CloseReason.NOT_WANTED, "nobody asked for it")',
        "return verdict or Permit(LinkUse.MEMBER)",
        ("tests.routing.test_intruder.HelloTests.test_hello_for_an_unknown_request_is_refused",),
    ),
    Mutant(
        "a joining node passes envelopes of others to its proxy",
        "routing/membership/neighbourhood.py",
        "return peer is not None and peer.use is LinkUse.ATTACHED and not self._attached_to(link)",
        "return peer is not None",
        (
            "tests.routing.messaging.test_proxied_messages.StandingTests.test_joining_node_does_not_burden_its_proxy_with_envelopes_of_others",
        ),
    ),
    Mutant(
        "a foreign client record is believed",
        "routing/membership/client_registry.py",
        "if not body_holds(identity, settings.network, RECORD_LABEL, signed):",
        "if False:",
        ("tests.routing.test_intruder.RequestTests.test_client_record_with_a_bad_signature_is_ignored",),
    ),
    Mutant(
        "an older client record replaces a newer one",
        "routing/membership/client_registry.py",
        "and record.issued <= kept.issued:",
        "and record.issued < kept.issued - 3600:",
        (
            "tests.routing.membership.test_client_registry.ClientRegistryTests.test_later_record_replaces_an_earlier_one_in_any_order",
        ),
    ),
    Mutant(
        "the table holds ourselves",
        "routing/membership/routing_table.py",
        '        if name == self.own:\n            return "it is this node itself"\n',
        "",
        ("tests.routing.membership.test_routing_table.MembershipTests.test_own_name_is_not_in_the_table",),
    ),
    Mutant(
        "the next hop is farther than we are",
        "routing/membership/routing_table.py",
        "return self._by_number[least ^ goal] if least < below else None",
        "return self._by_number[least ^ goal] if distances else None",
        ("tests.routing.membership.test_routing_table.ModelTests.test_answers_match_the_model",),
    ),
    Mutant(
        "the room for hosts of one network is that of the start, after a reload",
        "routing/membership/routing_table.py",
        "        self._settings = settings\n",
        "        self._settings = Settings()\n",
        (
            "tests.routing.membership.test_routing_table.MembershipTests.test_prefix_limits_of_the_settings_count_as_they_are_now",
        ),
    ),
    Mutant(
        "one prefix fills a bucket",
        "routing/membership/routing_table.py",
        "if same - before >= self._settings.max_same_prefix_in_bucket:",
        "if same - before > self._settings.max_same_prefix_in_bucket:",
        (
            "tests.routing.membership.test_routing_table.MembershipTests.test_member_that_moves_into_a_full_prefix_is_dropped",
        ),
    ),
    Mutant(
        "a node whose path has broken waits before it bootstraps",
        "routing/membership/lifecycle.py",
        "if 0 <= self._node.clock.seconds() - self._changed < CHANGED_SECONDS:",
        "if False:",
        (
            "tests.routing.test_network_changed.NetworkChangedTests.test_node_that_loses_its_links_to_a_change_bootstraps_at_once",
        ),
    ),
    Mutant(
        "contacts that we dialled have no voice on the time",
        "routing/membership/network_time.py",
        "            if peer.use is not LinkUse.ATTACHED or peer.link.direction",
        "            if True or peer.link.direction",
        (
            "tests.routing.membership.test_network_time.NetworkTimeTests.test_pair_that_is_alone_with_a_wrong_time_learns_it_from_the_contacts_that_it_dials",
        ),
    ),
    Mutant(
        "all whom we have ever chosen among our callers have a voice on the time",
        "routing/membership/network_time.py",
        "            self._silence(self._chosen)\n        self._chosen = peer.name",
        "            pass\n        self._chosen = peer.name",
        (
            "tests.routing.membership.test_network_time.NetworkTimeTests.test_caller_that_we_have_chosen_has_a_voice_until_the_next_is_chosen",
        ),
    ),
    Mutant(
        "a node that others dial chooses none of them",
        "routing/membership/partition_probe.py",
        "            if each.use is LinkUse.ATTACHED\n",
        "            if False\n",
        (
            "tests.routing.membership.test_partition_probe.ProberTests.test_caller_is_asked_by_its_link_and_chosen",
        ),
    ),
    Mutant(
        "probes go on being put off",
        "routing/membership/partition_probe.py",
        "> 1.5 * HURRIED_PROBE_SECONDS:",
        "> 0:",
        (
            "tests.routing.membership.test_partition_probe.ProberTests.test_probe_that_is_hurried_again_and_again_is_not_put_off",
        ),
    ),
    Mutant(
        "voices that are divided stay so until the next probe",
        "routing/core.py",
        "        self.time.when_divided(self.prober.hurry)\n",
        "",
        (
            "tests.routing.membership.test_network_time.WrongClockTests.test_divided_voices_hurry_the_next_probe",
        ),
    ),
    Mutant(
        "only a new proxy's time ends requests with another one",
        "routing/membership/network_time.py",
        "        if abs(self.offset - before) > SLIP_SECONDS:\n",
        "        if self._proxy is not None and abs(self.offset - before) > SLIP_SECONDS:\n",
        (
            "tests.routing.connecting.test_connector.TimeTests.test_request_with_a_wrong_time_is_given_up_when_the_time_is_known",
        ),
    ),
    Mutant(
        "a wrong time that was believed has a voice for ever",
        "routing/membership/network_time.py",
        "voices = sorted([0.0, *(",
        "voices = sorted([self.offset, *(",
        ("tests.routing.membership.test_network_time.NetworkTimeTests.test_newcomer_believes_its_proxy",),
    ),
    Mutant(
        "who asks for its group is told of itself",
        "routing/membership/close_group_lookup.py",
        "self._neighbourhood.told_about(target, source)",
        "self._neighbourhood.told_about(target, Name(bytes(32)))",
        ("tests.routing.test_network.JoiningTests.test_requester_is_left_out_of_the_close_group_it_gets",),
    ),
    Mutant(
        "one liar sets the network's time",
        "routing/membership/network_time.py",
        "voices = sorted([0.0, *",
        "voices = sorted([*",
        (
            "tests.routing.membership.test_network_time.NetworkTimeTests.test_last_report_of_each_member_counts",
        ),
    ),
    Mutant(
        "names count that have not proven themselves",
        "routing/membership/close_group_search.py",
        "return tuple(group_of(proven, size))",
        "return tuple(group_of(named, size))",
        (
            "tests.routing.membership.test_close_group_search.CloseGroupSearchTests.test_client_believes_no_made_up_names",
        ),
    ),
    Mutant(
        "a search waits for each answer to the end",
        "routing/membership/close_group_search.py",
        "        if groups or enough:\n            for each in waiting:",
        "        if False:\n            for each in waiting:",
        (
            "tests.routing.membership.test_close_group_search.CloseGroupSearchTests.test_client_believes_no_made_up_names",
        ),
    ),
    Mutant(
        "no other proxy is looked for beside one that leads nowhere",
        "routing/membership/proxy_trial.py",
        "        self._node.crust.bootstrap()\n",
        "",
        ("tests.routing.membership.test_proxy_trial.ProxyTrialTests.test_client_leaves_a_dead_end",),
    ),
    Mutant(
        "a proxy proves itself by an answer of its own",
        "routing/membership/proxy_trial.py",
        "if is_pending(self._timer) and not self._queries:",
        "if is_pending(self._timer):",
        (
            "tests.routing.membership.test_proxy_trial.ProxyTrialTests.test_client_leaves_a_proxy_that_answers_all_by_itself",
        ),
    ),
    Mutant(
        "a client's record goes out behind its lookup, and wakes its proxy again",
        "routing/membership/client_publisher.py",
        "        self._send_record(before)\n",
        "        before = ()\n",
        (
            "tests.routing.membership.test_proxy_trial.ProxyTrialTests.test_client_wakes_its_proxy_once_a_round_to_publish_and_to_try_it",
        ),
    ),
    Mutant(
        "a contact that lets in and leaves is dialled first again",
        "routing/membership/proxy_trial.py",
        "        self._demote(contact)\n",
        "",
        (
            "tests.routing.membership.test_proxy_trial.ProxyTrialTests.test_contact_that_lets_in_and_leaves_keeps_nobody_out",
        ),
    ),
    Mutant(
        "a member for a moment is as good a way in as others",
        "routing/membership/proxy_trial.py",
        "        if member != proxy:\n",
        "        if True:\n",
        (
            "tests.routing.membership.test_proxy_trial.ProxyTrialTests.test_contact_that_takes_for_a_member_and_leaves_keeps_nobody_out",
        ),
    ),
    Mutant(
        "a contact that leaves again and again is dialled without a wait",
        "routing/membership/proxy_trial.py",
        "        return is_first\n",
        "        return True\n",
        (
            "tests.routing.membership.test_proxy_trial.ProxyTrialTests.test_contact_that_leaves_again_and_again_is_dialled_less_and_less_often",
        ),
    ),
    Mutant(
        "a proxy that led nowhere is dialled first again",
        "routing/membership/proxy_trial.py",
        "self._tell_crust(proxy, self._node.crust.demote)",
        "self._tell_crust(proxy, self._node.crust.remember)",
        (
            "tests.routing.membership.test_proxy_trial.ProxyTrialTests.test_node_joins_through_another_contact_within_5_seconds",
        ),
    ),
    Mutant(
        "a saved contact that fails when it is checked keeps its place",
        "routing/membership/partition_probe.py",
        "if failure.check(ConnectFailed):",
        "if False:",
        (
            "tests.routing.membership.test_contact_exchange.ProvenTests.test_saved_contact_that_cannot_be_reached_any_more_is_demoted",
        ),
    ),
    Mutant(
        "a link proves a contact",
        "routing/membership/contact_exchange.py",
        "proven=peer.use is LinkUse.MEMBER)",
        "proven=True)",
        ("tests.routing.membership.test_contact_exchange.ProvenTests.test_link_alone_proves_no_contact",),
    ),
    Mutant(
        "each name has a voice about the network's time",
        "routing/membership/network_time.py",
        "prefix_of(*counted_by(peer.link)) or str(peer.name)",
        "str(peer.name)",
        (
            "tests.routing.membership.test_network_time.NetworkTimeTests.test_members_of_one_prefix_have_one_voice",
        ),
    ),
    Mutant(
        "strangers vote on the network's time",
        "routing/membership/network_time.py",
        "            if peer.use is not LinkUse.ATTACHED or peer.link.direction is not Direction.CONNECTED:",
        "            if False:",
        (
            "tests.routing.membership.test_network_time.NetworkTimeTests.test_pair_that_is_alone_with_a_wrong_time_learns_it_from_the_contacts_that_it_dials",
        ),
    ),
    Mutant(
        "an answer is taken from a node that was not asked",
        "routing/membership/close_group_lookup.py",
        " or query.of not in (None, source):",
        ":",
        (
            "tests.routing.membership.test_close_group_lookup.QueryTests.test_query_may_be_addressed_to_one_node",
        ),
    ),
    Mutant(
        "a member by a tunnel is refused a better link for its prefix",
        "routing/membership/routing_table.py",
        "        if problem and self._replaces_tunnel(name, endpoint):\n            return None\n",
        "",
        (
            "tests.routing.connecting.test_office.OfficeTests.test_better_link_of_a_member_by_tunnel_is_not_refused_for_its_prefix",
        ),
    ),
    Mutant(
        "a member whose tunnel was replaced counts for nothing",
        "routing/membership/routing_table.py",
        'prefix = self._prefixes.get(entry.name, "")',
        'prefix = ""',
        (
            "tests.routing.membership.test_routing_table.MembershipTests.test_member_that_is_in_by_a_tunnel_is_not_refused_for_its_prefix",
        ),
    ),
    Mutant(
        "a client is let into the table",
        "routing/membership/policy.py",
        "            if facts.is_client:\n                self._expected.turn_away",
        "            if False:\n                self._expected.turn_away",
        ("tests.routing.test_intruder.RequestTests.test_client_that_asks_to_be_a_member_is_refused",),
    ),
    Mutant(
        "the log repeats a problem at each attempt to bootstrap",
        "routing/membership/lifecycle.py",
        "            self.problem = problem\n",
        "",
        ("tests.routing.membership.test_lifecycle",),
    ),
    Mutant(
        "a node that cannot join drops its proxy",
        "routing/membership/attachment.py",
        "if proxy is not None and not self._is_served:",
        "if proxy is not None:",
        (
            "tests.routing.membership.test_served.ServedTests.test_its_proxy_is_kept_while_nobody_makes_it_a_member",
        ),
    ),
    Mutant(
        "a node that cannot join lets others in",
        "routing/membership/policy.py",
        "self._state() is State.CONNECTED and len(self._table) > 0",
        "self._state() is State.CONNECTED",
        ("tests.routing.membership.test_served.ServedTests.test_it_lets_nobody_in_meanwhile",),
    ),
)
