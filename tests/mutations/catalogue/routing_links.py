"""Bugs in links and their ends."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a dial of a broken path goes on when the path is back",
        "routing/links/second_links.py",
        "                self._dial_again(other)",
        "                pass",
        (
            "tests.routing.links.test_second_links.CrowdTests.test_dial_of_a_broken_path_begins_again_when_another_link_comes_up",
        ),
    ),
    Mutant(
        "certificates are shown, and not judged",
        "routing/links/registry.py",
        "        if turned_away is not None:\n",
        "        if False and turned_away is not None:\n",
        (
            "tests.routing.private.test_admission.RefusalTests.test_banned_member_is_refused_with_by_whom_and_since_when",
        ),
    ),
    Mutant(
        "nobody is told why it is no member",
        "routing/links/registry.py",
        "        tell_why(link, verdict, self._node.network_now())\n        self._refuse(",
        "        self._refuse(",
        ("tests.routing.private.test_admission.BothEndsTests.test_member_that_dials_is_told_and_logs_why",),
    ),
    Mutant(
        "a link that has tried an invitation may say more",
        "routing/links/registry.py",
        "            del self._records[link]\n            self._first_frame_handlers[kind]",
        "            self._first_frame_handlers[kind]",
        (
            "tests.routing.inviting.test_redeeming.PassingOnTests.test_link_that_waits_for_its_answer_becomes_no_other_link",
        ),
    ),
    Mutant(
        "one node's word that a peer is gone is enough",
        "routing/absence/group_word.py",
        "2 * len(self.denials) > len(self.asked)",
        "bool(self.denials)",
        (
            "tests.routing.absence.test_group_word.LookTests.test_absence_takes_a_denial_and_the_refusal_of_every_address",
        ),
    ),
    Mutant(
        "a peer that one node knows of is given up",
        "routing/absence/group_word.py",
        "return not self.knows and ",
        "return ",
        ("tests.routing.absence.test_group_word.WordTests.test_more_than_half_must_deny_and_nobody_know",),
    ),
    Mutant(
        "a peer whose address is silent is given up early",
        "routing/absence/absence_watch.py",
        "if any(each is not Presence.GONE for each in found):",
        "if any(each is Presence.THERE for each in found):",
        (
            "tests.routing.absence.test_group_word.LookTests.test_absence_takes_a_denial_and_the_refusal_of_every_address",
        ),
    ),
    Mutant(
        "a peer that restarts is given up",
        "routing/absence/absence_watch.py",
        "if look.is_absence and was_absent:",
        "if look.is_absence:",
        ("tests.routing.absence.test_absence.CancelTests.test_waits_for_one_peer_share_a_watch",),
    ),
    Mutant(
        "dials that took seconds are made again",
        "routing/absence/absence_watch.py",
        "if before is not None and before.knocks and began - before.ended < FRESH_SECONDS:",
        "if False:",
        (
            "tests.routing.absence.test_absence.GoneTests.test_host_that_its_router_reports_after_three_seconds_is_given_up_early",
        ),
    ),
    Mutant(
        "a peer is looked for when nobody waits for it any more",
        "routing/absence/absence_watch.py",
        "if not watched.waiting and self._watched.get(name) is watched:",
        "if False:",
        ("tests.routing.absence.test_absence.CancelTests.test_cancelled_wait_ends_the_watch",),
    ),
    Mutant(
        "strangers have us dial what they like to find a peer",
        "routing/absence/known_addresses.py",
        "if each not in found and self._rules.refusal(name, each) is None]",
        "if each not in found]",
        (
            "tests.routing.absence.test_known_addresses.KnownAddressesTests.test_what_a_stranger_may_not_have_us_dial_is_left_out",
        ),
    ),
    Mutant(
        "a link that ends unconfirmed leaves no line",
        "routing/links/registry.py",
        "if link not in self.confirmed and not logged:",
        "if False:",
        ("tests.routing.test_intruder.HelloTests.test_log_says_why_a_link_came_to_nothing",),
    ),
    Mutant(
        "places at a proxy belong to those that came first",
        "routing/links/granted.py",
        "if max(counts.values(), default=0) < mine + MIN_LEAD:",
        "if True:",
        (
            "tests.routing.membership.test_proxied.WhoMakesRoomTests.test_fullest_address_of_the_fullest_prefix_goes_first",
        ),
    ),
    Mutant(
        "links that nobody has confirmed keep direct links of others out",
        "routing/links/granted.py",
        "        if len(self._taken()) < self._most:\n",
        "        if len(self._links) < self._most:\n",
        (
            "tests.routing.links.test_granted.FloodTests.test_host_with_unconfirmed_links_keeps_nobody_from_a_direct_link",
        ),
    ),
    Mutant(
        "direct links that are granted belong to those that came first",
        "routing/links/granted.py",
        "            return bool(crowd(granted, None, _prefix))\n",
        "            return False\n",
        (
            "tests.routing.links.test_granted.GrantedTests.test_prefix_that_is_well_ahead_makes_room_with_its_newest_link",
        ),
    ),
    Mutant(
        "a direct link too many closes one of our own",
        "routing/links/granted.py",
        "if peer.use is LinkUse.DIRECT and not self._idle.is_ours(peer.name)",
        "if peer.use is LinkUse.DIRECT",
        ("tests.routing.links.test_granted.GrantedTests.test_links_that_we_use_ourselves_make_no_room",),
    ),
    Mutant(
        "granted links are not counted once they are there",
        "routing/links/granted.py",
        "        if len(self._taken()) <= self._most:\n",
        "        if True:\n",
        (
            "tests.routing.links.test_granted.GrantedTests.test_crowded_prefix_gets_no_more_at_the_expense_of_others",
        ),
    ),
    Mutant(
        "tie-break: the lesser name's request counts",
        "routing/links/consolidation.py",
        "each.we_asked, not each.primary",
        "not each.we_asked, not each.primary",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_request_of_the_greater_name_counts_when_both_asked",
        ),
    ),
    Mutant(
        "tie-break: the secondary link lives",
        "routing/links/consolidation.py",
        "not each.primary, spare, each.since)",
        "each.primary, spare, each.since)",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_link_that_the_responder_dialled_is_kept",
        ),
    ),
    Mutant(
        "both ends decide which link lives",
        "routing/links/registry.py",
        "arbiter=self._identity.name < name,",
        "arbiter=True,",
        ("tests.routing.test_network.JoiningTests.test_bootstrapping_is_repeated_until_a_contact_answers",),
    ),
    Mutant(
        "the arbiter takes an acknowledgement of an older decision",
        "routing/links/consolidation.py",
        "if self._pending is None or self._pending[:2] != (link, epoch):",
        "if self._pending is None or self._pending[0] != link:",
        (
            "tests.routing.links.test_consolidation.DecisionTests.test_acknowledgement_of_another_decision_is_ignored",
        ),
    ),
    Mutant(
        "the second direction is not waited for",
        "routing/links/consolidation.py",
        "if due is not None and now < due:",
        "if False:",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_link_that_the_responder_dialled_is_kept",
        ),
    ),
    Mutant(
        "stale incarnation accepted",
        "routing/links/consolidation.py",
        "if incarnation < self.incarnation:",
        "if False:",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_newer_incarnation_closes_older_links",
        ),
    ),
    Mutant(
        "a restarted peer's old links are kept",
        "routing/links/consolidation.py",
        "if incarnation > self.incarnation:",
        "if False:",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_newer_incarnation_closes_older_links",
        ),
    ),
    Mutant(
        "Hello: signature unchecked",
        "routing/links/handshake.py",
        "    if not identity.holds(link.peer, sealed",
        "    if False and not identity.holds(link.peer, sealed",
        ("tests.routing.test_intruder.HelloTests.test_hello_recorded_on_another_link_is_refused",),
    ),
    Mutant(
        "Hello: network unchecked",
        "routing/links/handshake.py",
        "if hello.network != settings.network:",
        "if False:",
        ("tests.routing.test_intruder.HelloTests.test_hello_of_another_network_is_refused",),
    ),
    Mutant(
        "Hello: a second one is taken",
        "routing/links/registry.py",
        '        if record.facts is not None:\n            raise WireError("a second Hello came")\n',
        "",
        ("tests.routing.test_intruder.HelloTests.test_second_hello_closes_the_link",),
    ),
    Mutant(
        "frames reach the application before the link is confirmed",
        "routing/links/registry.py",
        "        if link in self.passing:\n",
        "        if True:\n",
        (
            "tests.routing.links.test_link_admission.EarlyFrameTests.test_application_frame_before_the_hello_closes_the_link",
        ),
    ),
    Mutant(
        "a doubted link keeps its place beside a second one",
        "routing/links/consolidation.py",
        "if others and self._is_doubted(link):",
        "if False:",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_answer_of_a_slow_link_does_not_bring_it_back",
        ),
    ),
    Mutant(
        "a doubted link passes for a dial that worked",
        "routing/links/consolidation.py",
        "return [each for each in self._candidates.values() if not self._is_doubted(each.link)]",
        "return list(self._candidates.values())",
        ("tests.routing.links.test_consolidation_cases.RendezvousTests.test_doubted_link_saves_no_dial",),
    ),
    Mutant(
        "the handover waits for a dead link as for a slow one",
        "routing/links/handover.py",
        "                self._start_timer(wait)",
        "                pass",
        ("tests.routing.links.test_second_links.DeadTests.test_client_finds_its_proxy_again",),
    ),
    Mutant(
        "all links of a host whose path breaks are tried in one moment",
        "routing/links/second_links.py",
        "        if more <= 0:\n",
        "        if True:\n",
        (
            "tests.routing.links.test_second_links.CrowdTests.test_others_are_tried_at_random_times_and_each_of_them_is",
        ),
    ),
    Mutant(
        "each new link has all doubted peers asked",
        "routing/links/second_links.py",
        "min(len(doubted), AT_ONCE)",
        "len(doubted)",
        (
            "tests.routing.links.test_second_links.CrowdTests.test_new_link_has_no_more_than_a_few_of_them_asked",
        ),
    ),
    Mutant(
        "nobody looks for a second link beside a dead one",
        "routing/links/second_links.py",
        "        if not self._dial(peer) or not first:\n",
        "        return\n        if not self._dial(peer) or not first:\n",
        ("tests.routing.links.test_second_links.DeadTests.test_client_finds_its_proxy_again",),
    ),
    Mutant(
        "a peer that does not answer where it was dialled is asked upon the second doubt only",
        "routing/links/second_links.py",
        "callLater(wait, self._try_later, peer.name, False)",
        "callLater(wait, self._try_later, peer.name, True)",
        (
            "tests.routing.links.test_second_links.CrowdTests.test_peer_that_cannot_be_dialled_any_more_is_asked_by_others",
        ),
    ),
    Mutant(
        "a near peer that does not answer a dial is asked no sooner than a far one",
        "routing/links/second_links.py",
        "wait = min(DIAL_ALONE_SECONDS, DIAL_ALONE_ROUND_TRIPS * peer.link.round_trip.smoothed_or(inf))",
        "wait = DIAL_ALONE_SECONDS",
        ("tests.routing.links.test_second_links.CrowdTests.test_near_peer_is_asked_sooner",),
    ),
    Mutant(
        "a decision for a dead link keeps the next one waiting",
        "routing/links/consolidation.py",
        "(link in self._passed_over and pending != link)",
        "link in self._passed_over",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_dead_link_that_was_decided_for_again_gives_way_to_a_third",
        ),
    ),
    Mutant(
        "a decision for a link that is not acknowledged keeps the next one waiting",
        "routing/links/consolidation.py",
        "for link in (self.current, pending):",
        "for link in (self.current,):",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_dead_link_that_was_decided_for_gives_way_to_the_next",
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_links_do_not_add_up_beside_a_dead_one_that_was_decided_for",
        ),
    ),
    Mutant(
        "a link that is not acknowledged is not probed when its peer opens another",
        "routing/links/consolidation.py",
        "decided_on = self._decided_on\n        if candidate.beside",
        "decided_on = self.current\n        if candidate.beside",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_dead_link_that_was_decided_for_gives_way_to_the_next",
        ),
    ),
    Mutant(
        "a link that the peer has left is decided for again",
        "routing/links/consolidation.py",
        "last = len(left) - left.index(each.link) if each.link in left else 0",
        "last = int(each.link in left)",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_link_that_the_peer_has_left_is_not_decided_for_again",
        ),
    ),
    Mutant(
        "a peer that followed a decision for a link that is lost is not told again",
        "routing/links/consolidation.py",
        "has no agreed link then\n            self._doubted = self.current is not None",
        "has no agreed link then",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_agreed_link_is_confirmed_again_when_its_successor_is_lost",
        ),
    ),
    Mutant(
        "a link gives way to one that the peer has left",
        "routing/links/consolidation.py",
        "                self._leave(self.current)\n                self._leave(link)",
        "                self._leave(link)",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_link_that_the_peer_has_left_is_not_decided_for_again",
        ),
    ),
    Mutant(
        "a late acknowledgement of a decision that was withdrawn is dropped",
        "routing/links/consolidation.py",
        "return [] if declined else self._acknowledged_late(link, epoch, now)",
        "return []",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_late_acknowledgement_counts_until_the_next_one_comes",
        ),
    ),
    Mutant(
        "a spare link is closed before the other end has another",
        "routing/links/consolidation.py",
        "patience += settings.inactivity_timeout",
        "patience += 0.0",
        (
            "tests.routing.links.test_consolidation.DecisionTests.test_spare_link_is_kept_until_the_arbiter_must_have_the_acknowledgement",
        ),
    ),
    Mutant(
        "a peer that has lost a link is kept out by the one that the other end still has",
        "routing/links/consolidation.py",
        "self._doubted = self._arbiter and self.current is not None",
        "self._doubted = False",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_new_link_goes_if_the_peer_still_has_the_agreed_one",
        ),
    ),
    Mutant(
        "a link that was decided on is given up",
        "routing/links/consolidation.py",
        "return self.current is None or not decided_on",
        "return True",
        (
            "tests.routing.links.test_consolidation.DecisionTests.test_link_that_was_decided_for_is_not_given_up",
        ),
    ),
    Mutant(
        "a link is raised to a use that another one serves",
        "routing/links/consolidation.py",
        "        if any(each.use >= use for each in self._candidates.values()):",
        "        if False:",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_link_is_not_raised_while_another_serves_the_use",
        ),
    ),
    Mutant(
        "a link is raised that both ends are leaving",
        "routing/links/consolidation.py",
        "decided_on = self._decided_on\n        candidate = ",
        "decided_on = self.current\n        candidate = ",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_link_that_is_decided_on_is_raised_rather_than_the_one_in_use",
        ),
    ),
    Mutant(
        "the arbiter raises a link to a use that nobody asked for",
        "routing/links/consolidation.py",
        "        if (raised and message.use > permitted()) or self",
        "        if self",
        (
            "tests.routing.links.test_consolidation_cases.RendezvousTests.test_arbiter_cannot_raise_a_link_that_the_other_end_has_not_asked_for",
        ),
    ),
    Mutant(
        "the old link's last frame is not waited for",
        "routing/links/handover.py",
        "one.link.send(FrameKind.SWITCHED, encode(Switched(False)))",
        "pass",
        (
            "tests.routing.links.test_handover_bounds.BoundTests.test_anew_on_a_link_that_both_left_is_refused",
        ),
    ),
    Mutant(
        "a listener hears of a peer that another one has closed the link to",
        "routing/links/registry.py",
        "            if self.peer(peer.name) is not peer:\n                return\n",
        "",
        (
            "tests.routing.links.test_peer_listeners.PeerListenerTests.test_those_after_a_listener_that_closes_the_link_hear_only_of_its_loss",
        ),
    ),
    Mutant(
        "a listener hears of the new link while another counts on the old one",
        "routing/links/registry.py",
        ".link_replaced(before, peer)\n        for listener in self._established_listeners:\n",
        ".link_replaced(before, peer)\n",
        (
            "tests.routing.links.test_peer_listeners.PeerListenerTests.test_all_hear_of_a_replaced_link_before_the_first_hears_of_the_new_one",
        ),
    ),
    Mutant(
        "a frame of an earlier view is delivered",
        "routing/links/handover_states.py",
        "ReceivingInput.VOID_FRAME: (_U, _O, None, _S, None),",
        "ReceivingInput.VOID_FRAME: (_U, (_O, _HOLD), None, _S, None),",
        (
            "tests.routing.links.test_handover_bounds.BoundTests.test_new_link_is_read_again_if_the_old_one_times_out",
        ),
    ),
    Mutant(
        "a link that follows another than ours is used as if nothing was missing",
        "routing/links/handover_states.py",
        "ReceivingInput.DISPLACED: ((_O, _RESET), (_O, _RESET), (_C, _RESET), _S, _E),",
        "ReceivingInput.DISPLACED: (_O, _O, _C, _S, _E),",
        ("tests.routing.links.test_handover_bounds.BoundTests.test_second_continued_on_a_link_is_refused",),
    ),
    Mutant(
        "streams stay on a link that was replaced",
        "routing/links/stream_layer.py",
        "                self.layer.link_changed(told.link, peer.link)\n",
        "                pass\n",
        ("tests.testing.play.test_streaming.DayTests.test_all_arrives_on_a_calm_day",),
    ),
    Mutant(
        "a denied peer keeps its link",
        "routing/links/denial.py",
        "            self._links.drop(name, CloseReason.NOT_ALLOWED, why)\n",
        "            pass\n",
        ("tests.daemon.live.test_changer.ReloadTests",),
    ),
    Mutant(
        "a host that slept while it looked for a peer has less than no time left",
        "routing/absence/absence_watch.py",
        "left = max(0.0, began + LOOK_SECONDS - self._clock.seconds())",
        "left = began + LOOK_SECONDS - self._clock.seconds()",
        (
            "tests.routing.absence.test_sleep.SleepTests."
            "test_dials_get_no_time_if_the_host_slept_while_the_group_was_asked",
        ),
    ),
)
