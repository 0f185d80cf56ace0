"""Bugs in what a node knows of its network: paths, addresses, changes, uplinks."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "breaks of one peer's links have all others probed",
        "crust/netstate/path_watch.py",
        "self._breaks[link.connection.peer.prefix] = now",
        "self._breaks[str(link.connection.peer)] = now",
        ("tests.crust.netstate.test_path_watch.PathWatchTests.test_breaks_of_one_network_are_one",),
    ),
    Mutant(
        "an interface's address beside its wildcard is blamed on another program",
        "crust/accept/listening.py",
        "        refuse_overlaps([endpoint], self._fixed)\n",
        "",
        ("tests.crust.accept.test_listening.FollowingTests.test_wildcard_leaves_no_port_to_an_interface",),
    ),
    Mutant(
        "a watch over the network that has failed stays deaf",
        "crust/netstate/netwatch.py",
        "self._was_lost = True",
        "self._was_lost = False",
        ("tests.crust.netstate.test_netwatch.NetWatchTests.test_socket_that_fails_is_opened_again",),
    ),
    Mutant(
        "a watch over the network is opened again once only",
        "crust/netstate/netwatch.py",
        "        except OSError as error:\n            # where",
        "        except OSError as error:\n            self._was_lost = False\n            # where",
        (
            "tests.crust.netstate.test_netwatch.NetWatchTests.test_socket_that_cannot_be_opened_again_is_tried_until_it_can",
        ),
    ),
    Mutant(
        "links that are gone keep their turn to be probed",
        "crust/netstate/path_watch.py",
        "if each is not link]",
        "]",
        ("tests.crust.netstate.test_path_watch.PathWatchTests.test_nothing_is_kept_of_links_that_are_gone",),
    ),
    Mutant(
        "a crust that was stopped still knocks",
        "crust/dial/dial_back.py",
        "        if not self._ending.running:\n            return tuple(fail(",
        "        if False:\n            return tuple(fail(",
        ("tests.crust.dial.test_dial_back.ServiceOutsideTests.test_stopped_crust_knocks_nowhere",),
    ),
    Mutant(
        "a link-local address is dialled from, wherever to",
        "crust/dial/local_port.py",
        " and not stays_near:",
        ":",
        (
            "tests.crust.dial.test_local_port.OriginTests.test_link_local_port_is_no_origin_for_dials_off_the_network",
        ),
    ),
    Mutant(
        "addresses that only we can dial are named to others",
        "crust/netstate/host.py",
        ' and "%" not in each.host]',
        "]",
        (
            "tests.crust.netstate.test_host.HostTests.test_address_with_a_zone_is_offered_only_if_there_is_nothing_else",
        ),
    ),
    Mutant(
        "a port that is still being closed is forgotten",
        "crust/accept/listening.py",
        "            self._close(self._at_interfaces.pop(gone))\n",
        "            self._at_interfaces.pop(gone).stopListening()\n",
        (
            "tests.crust.accept.test_listening.FollowingTests.test_port_that_is_still_being_closed_is_waited_for",
        ),
    ),
    Mutant(
        "new addresses are found only where the system reports them",
        "crust/service.py",
        "they are found here\n            self._host.follow()\n",
        "they are found here\n            self._host.look()\n",
        (
            "tests.crust.test_service_changes.ChangeTests.test_new_addresses_are_listened_on_before_a_bootstrap",
        ),
    ),
    Mutant(
        "links of another uplink than the present one are kept for eight seconds",
        "crust/netstate/path_watch.py",
        "if source(link.connection.peer) != link.connection.local.host:",
        "if False:",
        (
            "tests.crust.netstate.test_path_watch.AnswerLimitTests.test_link_of_another_uplink_than_the_present_one_has_little_time",
        ),
    ),
    Mutant(
        "a router's new address is noticed link by link",
        "crust/netstate/path_watch.py",
        "            self._demand_answer(each)\n",
        "            each.probe()\n",
        (
            "tests.crust.netstate.test_path_watch.PathWatchTests.test_links_to_two_networks_that_break_mean_that_the_path_has",
        ),
    ),
    Mutant(
        "a link that a router has forgotten gets another second",
        "crust/netstate/path_watch.py",
        "if has_had_time and self._proven >= self._broke:",
        "if False:",
        (
            "tests.crust.netstate.test_path_watch.PathWatchTests.test_link_that_owes_an_answer_when_two_networks_have_broken_is_cut_at_once",
        ),
    ),
    Mutant(
        "a link that was asked when a path broke is cut as soon as it is doubted",
        "crust/netstate/path_watch.py",
        "link.is_doubted and link.owed_for >= OWED_SECONDS",
        "link.is_doubted",
        (
            "tests.crust.netstate.test_path_watch.PathWatchTests.test_link_that_was_asked_when_two_networks_broke_has_its_time",
        ),
    ),
    Mutant(
        "a slow link is cut for the break of one other",
        "crust/netstate/path_watch.py",
        "if has_had_time and self._proven >= self._broke:",
        "if has_had_time:",
        (
            "tests.crust.netstate.test_path_watch.PathWatchTests.test_link_that_owes_an_answer_is_not_cut_for_the_break_of_one_network",
        ),
    ),
    Mutant(
        "a peer that breaks links has all others probed each time",
        "crust/netstate/path_watch.py",
        "if 0 <= now - self._broke < MIN_INTERVAL_SECONDS:",
        "if False:",
        ("tests.crust.netstate.test_path_watch.PathWatchTests.test_path_breaks_once_in_a_while",),
    ),
    Mutant(
        "links need not answer for 10 s after a probe of all",
        "crust/netstate/path_watch.py",
        "if 0 <= now - self._broke < MIN_INTERVAL_SECONDS:",
        "if 0 <= now - max(self._broke, self._probed_all) < MIN_INTERVAL_SECONDS:",
        (
            "tests.crust.netstate.test_path_watch.PathWatchTests.test_links_have_to_answer_although_all_were_probed_just_before",
        ),
    ),
    Mutant(
        "a path with one public peer at its end never breaks",
        "crust/netstate/path_watch.py",
        "elif any(0 <= now - when < BREAKS_WITHIN_SECONDS for when in self._breaks.values()):",
        "elif False:",
        (
            "tests.crust.netstate.test_path_watch.PathWatchTests.test_break_of_one_network_and_silence_mean_that_the_path_has_broken",
        ),
    ),
    Mutant(
        "a silent link says nothing of the others until it is doubted",
        "crust/netstate/path_watch.py",
        "if is_through_nat(link) and self._answer is None:",
        "if False:",
        (
            "tests.crust.netstate.test_path_watch.PathWatchTests.test_silence_of_one_link_has_the_next_one_asked_and_then_all",
        ),
    ),
    Mutant(
        "on a slow path all links are probed all the time",
        "crust/netstate/path_watch.py",
        "    return min(max(ANSWER_SECONDS, seconds), MAX_ANSWER_SECONDS)\n",
        "    return ANSWER_SECONDS\n",
        ("tests.crust.netstate.test_path_watch.PathWatchTests.test_answer_of_a_slow_link_is_waited_for",),
    ),
    Mutant(
        "one false alarm keeps all links from being probed for 10 s",
        "crust/netstate/path_watch.py",
        "if 0 <= now - self._probed_all < MIN_PROBES_INTERVAL_SECONDS:",
        "if 0 <= now - self._probed_all < MIN_INTERVAL_SECONDS:",
        ("tests.crust.netstate.test_path_watch.PathWatchTests.test_all_are_probed_again_soon",),
    ),
    Mutant(
        "a router that restarts once makes heartbeats faster for ever",
        "crust/netstate/heartbeat_pace.py",
        "if any(when - each < ONE_CAUSE_SECONDS for each in deaths):",
        "if False:",
        (
            "tests.crust.netstate.test_heartbeat_pace.HeartbeatPaceTests.test_links_that_die_at_once_have_one_cause",
        ),
    ),
    Mutant(
        "links that a NAT forgets while they are idle die again and again",
        "crust/netstate/heartbeat_pace.py",
        "if len(deaths) >= ENOUGH_DEATHS:",
        "if False:",
        (
            "tests.crust.netstate.test_heartbeat_pace.HeartbeatPaceTests.test_pace_doubles_where_idle_links_have_died_twice",
        ),
    ),
    Mutant(
        "peers that die make heartbeats faster",
        "crust/netstate/heartbeat_pace.py",
        "        if any(each.peer == link.peer for each in others):\n",
        "        if True:\n",
        (
            "tests.crust.netstate.test_heartbeat_pace.HeartbeatPaceTests.test_peers_that_die_themselves_change_nothing",
        ),
    ),
    Mutant(
        "ports stay open at addresses that an interface has lost",
        "crust/accept/listening.py",
        "for gone in [each for each in self._at_interfaces if each not in wanted]:",
        "for gone in []:",
        (
            "tests.crust.accept.test_listening.FollowingTests.test_ports_follow_the_addresses_of_the_interface",
        ),
    ),
    Mutant(
        "an address that is not ours yet keeps a node from starting",
        "crust/accept/listening.py",
        "if not _is_not_ours_yet(error):",
        "if True:",
        (
            "tests.crust.accept.test_listening.FollowingTests.test_address_that_is_not_ours_yet_is_tried_again",
        ),
    ),
    Mutant(
        "routers are not asked for the ports of addresses that came later",
        "crust/host_network.py",
        "        if self._ports.follow():\n            self._mapper.start(self._ports.endpoints)\n",
        "        self._ports.follow()\n",
        ("tests.crust.test_service_changes.ChangeTests.test_routers_are_asked_for_ports_that_came_later",),
    ),
    Mutant(
        "a proxy that is given by its name is reached by IPv4 only",
        "crust/netstate/named_host.py",
        "    if is_like_address(host):\n",
        "    if True:\n",
        (
            "tests.crust.netstate.test_named_host.NamedHostTests.test_name_with_an_ipv6_address_only_is_reached",
        ),
    ),
    Mutant(
        "a dial counts as over between two addresses of a name",
        "crust/netstate/named_host.py",
        "        self._factory.doStart()\n",
        "",
        ("tests.crust.netstate.test_named_host.NamedHostTests.test_next_address_is_tried_when_one_refuses",),
    ),
    Mutant(
        "all dials leave by another uplink after one host that needed it",
        "crust/netstate/paths.py",
        "            if len(networks) < HOSTS_THAT_CONVINCE:",
        "            if not networks:",
        (
            "tests.crust.dial.test_endpoint_dial.EndpointDialTests.test_host_behind_another_uplink_is_dialled_by_that_first_from_then_on",
        ),
    ),
    Mutant(
        "an uplink that was found is kept when the first works again",
        "crust/netstate/paths.py",
        "                del self._uplink_of[each]\n",
        "                pass\n",
        (
            "tests.crust.dial.test_endpoint_dial.EndpointDialTests.test_host_behind_another_uplink_is_dialled_by_that_first_from_then_on",
        ),
    ),
    Mutant(
        "what was found of paths outlives a change of the network",
        "crust/netstate/paths.py",
        "        self._uplink_of.clear()\n",
        "",
        (
            "tests.crust.dial.test_endpoint_dial.EndpointDialTests.test_changed_network_makes_all_paths_be_found_out_anew",
        ),
    ),
    Mutant(
        "a dial goes around a VPN",
        "crust/netstate/uplinks.py",
        "if chosen is None or not ordinary(chosen.interface):",
        "if chosen is None:",
        ("tests.crust.netstate.test_uplinks.UplinkTests.test_vpn_is_never_gone_around",),
    ),
    Mutant(
        "the segments of a dial stay large",
        "crust/netstate/connecting.py",
        "            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, path.segment_bytes)",
        "            pass",
        (
            "tests.crust.netstate.test_connecting.ConnectingTests.test_connection_has_the_segments_of_its_path",
        ),
    ),
    Mutant(
        "a dial leaves by the system's choice whatever its path says",
        "crust/netstate/connecting.py",
        "    if path == SYSTEM_PATH:",
        "    if reactor:",
        (
            "tests.crust.netstate.test_connecting.ConnectingTests.test_connection_leaves_by_the_uplink_of_its_path",
        ),
    ),
    Mutant(
        "in a mesh of public nodes nobody knows that it can be dialled",
        "crust/netstate/external_addresses.py",
        "elif self.reachability.dialable is Dialable.UNKNOWN and self._came_untranslated(link):",
        "elif False:",
        (
            "tests.crust.netstate.test_external_addresses.OutsideTests.test_new_port_of_a_dialled_host_is_proof_without_a_translation",
        ),
    ),
    Mutant(
        "a dial made during a handshake hides that a stranger got in",
        "crust/netstate/external_addresses.py",
        "if peer in self._strangers or self._is_stranger(peer):",
        "if self._is_stranger(peer):",
        (
            "tests.crust.netstate.test_external_addresses.OutsideTests.test_connection_that_came_before_our_dial_is_proof",
        ),
    ),
    Mutant(
        "a NAT with several addresses is taken for a cone",
        "crust/netstate/observations.py",
        "if (is_one_port and len(hosts) == 1) or",
        "if is_one_port or",
        ("tests.crust.netstate.test_observations.KindTests.test_two_addresses_are_no_cone",),
    ),
)
