"""Bugs in dialling, accepting, punching and resolving."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "a bootstrap leaves those out whose links are lost while it runs",
        "crust/service.py",
        "            self._bootstrapper.widen([each.peer for each in self._links])\n",
        "            pass\n",
        (
            "tests.crust.test_service_dials.BootstrapTests.test_peer_whose_link_is_lost_meanwhile_is_dialled_as_well",
        ),
    ),
    Mutant(
        "a banned member stays among the contacts",
        "crust/dial/bootstrapper.py",
        "            self._bootstrapper.contacts.forget(name)",
        "            pass",
        ("tests.routing.private.test_expulsion.BanTests.test_all_links_of_a_banned_member_are_cut",),
    ),
    Mutant(
        "a node without a way to a host takes it for gone",
        "crust/dial/dial.py",
        "return Presence.NO_WAY",
        "return Presence.GONE",
        (
            "tests.crust.dial.test_dial_back.PresenceTests.test_only_a_denial_by_the_host_or_its_router_means_gone",
        ),
    ),
    Mutant(
        "accepted connections take the last descriptors",
        "crust/accept/gate.py",
        "if left >= RESERVED_DESCRIPTORS:",
        "if True:",
        ("tests.crust.test_service_admission.AdmissionTests.test_few_descriptors_are_left_to_the_rest",),
    ),
    Mutant(
        "the limit on descriptors is not raised",
        "crust/accept/descriptors.py",
        "if soft == hard:",
        "if True:",
        (
            "tests.crust.accept.test_descriptors.DescriptorTests.test_limit_is_raised_as_far_as_the_system_allows",
        ),
    ),
    Mutant(
        "a full door cuts the oldest, not one of the fullest prefix",
        "crust/accept/unverified.py",
        "crowd = _of_the_most([*entries, *coming], lambda each: each.prefix)",
        "crowd = [*entries, *coming]",
        ("tests.crust.accept.test_unverified.UnverifiedTests.test_addresses_of_one_24_are_one_crowd",),
    ),
    Mutant(
        "of a crowd the link that both ends wait for is cut first",
        "crust/accept/unverified.py",
        "            crowd.sort(key=_is_expected)\n",
        "            crowd.sort(key=lambda each: not _is_expected(each))\n",
        (
            "tests.crust.accept.test_unverified.UnverifiedTests.test_link_that_is_expected_makes_room_after_its_equals",
        ),
    ),
    Mutant(
        "links that requests expect keep newcomers out",
        "crust/accept/unverified.py",
        "if 2 * sum(map(_is_expected, self._entries)) <= len(self._entries):",
        "if True:",
        (
            "tests.crust.accept.test_unverified.UnverifiedTests.test_expected_links_that_are_most_of_all_keep_nobody_out",
        ),
    ),
    Mutant(
        "a link that is lost before it was agreed on is not dialled again",
        "routing/connecting/attempts.py",
        "if entry is not None and reason in _SAYS_NOTHING:",
        "if entry is not None and reason not in _SAYS_NOTHING:",
        (
            "tests.routing.connecting.test_attempts.AttemptTests.test_expected_link_that_was_cut_is_dialled_again",
        ),
    ),
    Mutant(
        "a stream whose relays have all failed waits for the end of its request",
        "routing/connecting/rendezvous.py",
        "            if awaited:\n                tunnel",
        "            if False:\n                tunnel",
        (
            "tests.routing.connecting.test_rendezvous.HolePunchTests.test_awaited_tunnel_is_tried_again_until_its_request_ends",
        ),
    ),
    Mutant(
        "a responder dials again and again whom it is asked to dial",
        "routing/connecting/rendezvous.py",
        "if hole_punch is None or not hole_punch.requester or hole_punch.losses >= len(AGAIN_SECONDS):",
        "if hole_punch is None or hole_punch.losses >= len(AGAIN_SECONDS):",
        (
            "tests.routing.connecting.test_rendezvous.HolePunchTests.test_responder_dials_no_second_time_by_itself_but_punches_when_asked",
        ),
    ),
    Mutant(
        "each link of a request counts as expected",
        "routing/connecting/attempts.py",
        "link.is_expected = self.expected.is_first(link.connection)",
        "link.is_expected = True",
        (
            "tests.routing.connecting.test_attempts.AttemptTests.test_one_link_of_a_request_counts_as_expected",
        ),
    ),
    Mutant(
        "a verified link that is not confirmed leaves the door's count",
        "crust/accept/unverified.py",
        "for link in [each for each in self._by_link if each.is_confirmed]:",
        "for link in [each for each in self._by_link if each.is_verified]:",
        ("tests.crust.test_service_admission.AdmissionTests.test_confirmed_links_do_not_count",),
    ),
    Mutant(
        "unconfirmed links keep us from dialling",
        "crust/accept/gate.py",
        "if sum(each.is_open and _is_settled(each) for each in self._links) < self._max_links:",
        "if sum(each.is_open for each in self._links) < self._max_links:",
        (
            "tests.crust.test_service_admission.AdmissionTests.test_unconfirmed_links_do_not_keep_us_from_dialling",
        ),
    ),
    Mutant(
        "neighbours of a flood of handshakes wait for all of it",
        "crust/accept/handshakes.py",
        "        if queue:\n            origins[origin] = queue\n",
        "        if queue:\n            origins = {origin: queue, **origins}\n",
        ("tests.crust.accept.test_handshakes.HandshakeTurnsTests.test_addresses_of_one_prefix_take_turns",),
    ),
    Mutant(
        "dials to local addresses cost nothing",
        "crust/admission.py",
        "                _DialLimit(endpoint.host, MAX_LOCAL_DIALS_PER_HOST),\n",
        "",
        ("tests.crust.test_admission.StrangerBudgetTests.test_local_addresses_have_a_budget_of_their_own",),
    ),
    Mutant(
        "handshakes wait for a time that is now",
        "crust/accept/handshakes.py",
        "callLater(max(wait, MIN_WAIT_SECONDS), self._serve)",
        "callLater(wait, self._serve)",
        (
            "tests.crust.accept.test_handshakes.HandshakeTurnsTests.test_next_turn_is_never_at_the_time_that_it_is",
        ),
    ),
    Mutant(
        "strangers' addresses are dialled without a limit",
        "crust/admission.py",
        "            self._window(each).take(asked_by)\n",
        "            self._window(each)\n",
        (
            "tests.crust.dial.test_victim.VictimTests.test_thousand_requests_cannot_exceed_the_budget_for_one_victim",
        ),
    ),
    Mutant(
        "the deny list is not looked at",
        "crust/admission.py",
        "self._denied_names, self._denied_networks = _split(deny)",
        "self._denied_names, self._denied_networks = _split(())",
        ("tests.crust.test_admission.RulesTests.test_denied_name_is_refused_once_it_is_known",),
    ),
    Mutant(
        "a name server may have us dial loopback addresses",
        "crust/resolving/contact_resolver.py",
        'return f"not dialled: {refusal}" if refusal else ""',
        'return ""',
        (
            "tests.crust.resolving.test_contact_resolver.ContactResolverTests.test_addresses_are_judged_as_those_that_a_stranger_gave",
        ),
    ),
    Mutant(
        "addresses of a name wait until both families are answered",
        "crust/resolving/contact_resolver.py",
        "(answers.append if heard is None else heard)(answer)",
        "answers.append(answer)",
        (
            "tests.crust.resolving.test_contact_resolver.ContactResolverTests.test_silence_about_one_family_does_not_hold_up_the_other",
        ),
    ),
    Mutant(
        "an attempt does not wait for names that are being resolved",
        "crust/dial/bootstrap.py",
        "self._unresolved += names",
        "pass",
        (
            "tests.testing.memory.test_named_contacts.NamedContactTests.test_attempt_waits_for_names_and_tells_why_they_are_of_no_use",
        ),
    ),
    Mutant(
        "a name is looked for in another way than the file of hosts says",
        "crust/resolving/dns.py",
        "(addresses := self._in_hosts_file(name))",
        "(addresses := [])",
        ("tests.crust.resolving.test_dns.DnsTests.test_hosts_file_goes_before_servers",),
    ),
    Mutant(
        "a refusal of one name server ends the question",
        "crust/resolving/dns.py",
        "            problems.append(answer)\n",
        "            problems.append(answer)\n            break\n",
        ("tests.crust.resolving.test_dns.DnsTests.test_next_server_is_asked_when_one_is_silent_or_refuses",),
    ),
    Mutant(
        "what came right after a proxy's answer is lost",
        "crust/proxying/connecting.py",
        "        if rest:\n",
        "        if False:\n",
        ("tests.crust.proxying.test_connecting",),
    ),
    Mutant(
        "holes are punched past the proxy",
        "crust/service.py",
        " or any(map(self._ways_out.proxy_of, endpoints))",
        "",
        ("tests.crust.proxying.test_ways_out.ProxiedTests.test_no_way_is_punched_through_a_proxy",),
    ),
    Mutant(
        "host names are resolved here although the proxy resolves them",
        "crust/resolving/contact_resolver.py",
        "_fixed(host.host) or self._elsewhere(host.host)",
        "_fixed(host.host)",
        ("tests.crust.proxying.test_ways_out.ProxiedTests.test_host_names_are_left_to_the_proxy",),
    ),
    Mutant(
        "the head of a proxy's answer is not bounded",
        "crust/proxying/negotiations.py",
        "if len(self._came) > MAX_ANSWER_BYTES:",
        "if False:",
        ("tests.crust.proxying.test_negotiations.HttpConnectTests.test_answer_without_an_end_is_bounded",),
    ),
    Mutant(
        "each attempt begins with the same saved contacts",
        "crust/dial/bootstrapper.py",
        "        self._tried.add(contact.endpoint)\n",
        "",
        ("tests.testing.memory.test_bootstrap.BootstrapTests.test_every_saved_contact_has_its_turn",),
    ),
    Mutant(
        "a contact that led nowhere keeps its place",
        "crust/dial/bootstrapper.py",
        "return contact.endpoint in self._led_nowhere or contact.name in self._led_nowhere",
        "return False",
        ("tests.testing.memory.test_bootstrap.BootstrapTests.test_contact_that_led_nowhere_is_dialled_last",),
    ),
    Mutant(
        "answers of the local network keep other contacts out",
        "crust/dial/bootstrap.py",
        "if not self._found or (self._waiting and self._found_last):",
        "if not self._found:",
        ("tests.crust.dial.test_bootstrap.AttemptTests.test_answers_without_end_keep_no_other_contact_out",),
    ),
    Mutant(
        "what closed links showed of our ports outlives a change of the network",
        "crust/service.py",
        "        self._outside.network_changed()\n",
        "",
        (
            "tests.crust.test_service_changes.ChangeTests.test_what_closed_links_showed_of_our_ports_is_in_doubt",
        ),
    ),
    Mutant(
        "a peer that was punched before counts as a stranger's again",
        "crust/punch/puncher.py",
        "            self._limits.answered(outcome.connection.peer, outcome.peer)\n",
        "            pass\n",
        (
            "tests.crust.punch.test_puncher.PuncherTests.test_address_where_the_peer_was_punched_last_is_dialled_once_without_that_limit",
        ),
    ),
    Mutant(
        "a peer that was punched once is dialled without a limit",
        "crust/punch/puncher.py",
        "            self._limits.failed(endpoint, peer)\n",
        "            pass\n",
        (
            "tests.crust.punch.test_puncher.PuncherTests.test_address_where_the_peer_was_punched_last_is_dialled_once_without_that_limit",
        ),
    ),
    Mutant(
        "ports are guessed at an address that the peer alone names",
        "crust/punch/guessing.py",
        "if each.host == guess.host and not is_local_only(each)",
        "if not is_local_only(each)",
        (
            "tests.crust.punch.test_guessing.BesidePunchTests.test_only_an_address_that_peer_and_relay_both_name_is_dialled",
        ),
    ),
    Mutant(
        "a peer has ports guessed as often as it asks",
        "crust/punch/guessing.py",
        "waits = (self._peers.wait(peer), self._hosts",
        "waits = (self._hosts",
        ("tests.crust.punch.test_guessing.LimitTests.test_peer_and_address_have_an_attempt_an_hour",),
    ),
    Mutant(
        "each peer has ports guessed at the same address",
        "crust/punch/guessing.py",
        "self._hosts.wait(host), ",
        "",
        ("tests.crust.punch.test_guessing.LimitTests.test_peer_and_address_have_an_attempt_an_hour",),
    ),
    Mutant(
        "peers of many names have ports guessed without a pause",
        "crust/punch/guessing.py",
        " and self._all.may_take(told_by)",
        "",
        ("tests.crust.punch.test_guessing.LimitTests.test_relay_leaves_attempts_to_the_peers_of_others",),
    ),
    Mutant(
        "one relay has ports guessed for its peers alone",
        "crust/punch/guessing.py",
        "self._all.take(told_by)",
        "self._all.take(())",
        ("tests.crust.punch.test_guessing.LimitTests.test_relay_leaves_attempts_to_the_peers_of_others",),
    ),
    Mutant(
        "more ports are guessed than was said",
        "crust/punch/guessing.py",
        "else random.sample(_PORTS, MAX_GUESSES)",
        "else random.sample(_PORTS, 2 * MAX_GUESSES)",
        (
            "tests.routing.connecting.test_guessed_ports.VictimOfGuessesTests.test_one_attempt_is_made_at_a_victim_even_if_the_relays_lie",
        ),
    ),
    Mutant(
        "more ports are opened than was said",
        "crust/punch/guessing.py",
        "[target.port] * OPEN_PORTS if opens",
        "[target.port] * (2 * OPEN_PORTS) if opens",
        ("tests.crust.punch.test_guessing.PortGuessTests",),
    ),
    Mutant(
        "ports are guessed though the setting is off",
        "crust/punch/puncher.py",
        "            self.settings.port_guessing\n            and bool(tunnel.seen_at)",
        "            bool(tunnel.seen_at)",
        (
            "tests.routing.connecting.test_guessed_ports.VictimOfGuessesTests.test_no_port_is_guessed_where_the_setting_is_off",
        ),
    ),
    Mutant(
        "ports are guessed at each address of a network in turn",
        "crust/punch/guessing.py",
        "SlidingWindow(MAX_PER_PREFIX, SAME",
        "SlidingWindow(9 * MAX_PER_PREFIX, SAME",
        (
            "tests.crust.punch.test_guessing.LimitTests.test_addresses_of_one_prefix_have_a_few_attempts_an_hour",
        ),
    ),
    Mutant(
        "guesses are never let go",
        "crust/punch/guessing.py",
        "            self._running.pop(number).call_off()\n",
        "            pass\n",
        (
            "tests.crust.punch.test_guessing.PortGuessTests.test_other_end_dials_each_port_once_and_not_many_at_once",
        ),
    ),
    Mutant(
        "ports are opened at a server of somebody else's",
        "crust/punch/guessing.py",
        "is_other or self._refused >= MAX_REFUSED",
        "self._refused >= MAX_REFUSED",
        (
            "tests.crust.punch.test_guessing.PortGuessTests.test_another_host_that_answers_ends_the_opening_of_ports",
        ),
    ),
    Mutant(
        "a guess that the peer let go ends the opening of ports",
        "crust/punch/guessing.py",
        "isinstance(problem, LinkClosed) and problem.reason is CloseReason.PROTOCOL_ERROR",
        "isinstance(problem, LinkClosed)",
        (
            "tests.crust.punch.test_guessing.PortGuessTests.test_guess_that_the_peer_let_go_does_not_end_the_opening_of_ports",
        ),
    ),
    Mutant(
        "ports are opened at a silent server of somebody else's",
        "crust/punch/guessing.py",
        "for each in self._running.values()) >= MAX_CONNECTED:",
        "for each in self._running.values()) > OPEN_PORTS:",
        (
            "tests.crust.punch.test_guessing.PortGuessTests.test_host_that_takes_many_connections_ends_the_opening_of_ports",
        ),
    ),
    Mutant(
        "a guess that was right is let go before it is seen",
        "crust/punch/guessing.py",
        "self._later(number, HOLD_SECONDS, partial(self._later, number, 0.0, let_go))",
        "self._later(number, HOLD_SECONDS, let_go)",
        (
            "tests.crust.punch.test_guessing.PortGuessTests.test_what_came_while_the_host_was_busy_is_read_before_a_guess_is_let_go",
        ),
    ),
    Mutant(
        "the lists of a reload are not what connections are judged by",
        "crust/accept/gate.py",
        "        self.rules.change(self._settings.allow, self._settings.deny)\n",
        "",
        ("tests.daemon.live.test_changer.ReloadTests",),
    ),
    Mutant(
        "a configured contact is a stranger",
        "crust/dial/limits.py",
        "return any(name in (peer, None) for name in at)",
        "return any(name is None for name in at)",
        ("tests.crust.dial.test_limits.KnownTests.test_configured_contact_is_known_at_its_address_alone",),
    ),
    Mutant(
        "a host that is silent by the first uplink is dialled by no other",
        "crust/dial/endpoint_dial.py",
        "        else:\n            path = self._next_uplink()",
        "        else:\n            path = None",
        (
            "tests.crust.dial.test_endpoint_dial.EndpointDialTests.test_silent_host_is_dialled_by_each_other_uplink_beside_the_first",
        ),
    ),
    Mutant(
        "a connection that stands still is never tried with smaller segments",
        "crust/dial/endpoint_dial.py",
        "path = self._paths.smaller(DialPath(answered[0].uplink, smallest))",
        "path = None",
        (
            "tests.crust.dial.test_endpoint_dial.EndpointDialTests.test_connection_that_stands_still_is_tried_with_smaller_segments",
        ),
    ),
    Mutant(
        "a process that stood still dials again when the time for it is over",
        "crust/dial/endpoint_dial.py",
        "        if left <= 0:\n            return False\n",
        "",
        (
            "tests.crust.dial.test_endpoint_dial.EndpointDialTests.test_process_that_stood_still_begins_no_dial_after_the_end_of_the_first",
        ),
    ),
    Mutant(
        "dials by other paths are not counted against a stranger's budget",
        "crust/dial/endpoint_dial.py",
        "            self._may_repeat()\n",
        "            pass\n",
        (
            "tests.crust.dial.test_endpoint_dial.EndpointDialTests.test_dial_for_a_stranger_is_repeated_only_within_its_budget",
        ),
    ),
)
