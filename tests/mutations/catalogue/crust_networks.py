"""Bugs in tunnels, mapped ports, the state of the network and discovery."""

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
        "crust/service.py",
        "        if not self._running:\n            return tuple(fail(",
        "        if False:\n            return tuple(fail(",
        ("tests.crust.dial.test_dial_back.ServiceOutsideTests.test_stopped_crust_knocks_nowhere",),
    ),
    Mutant(
        "every socket of a beacon that was closed is remembered",
        "crust/discovery/beacon.py",
        "closed.addBoth(lambda _: self._closing.pop(closed, None))",
        "closed.addBoth(lambda _: None)",
        ("tests.crust.discovery.test_beacon.LogicTests.test_nothing_is_kept_of_sockets_that_are_closed",),
    ),
    Mutant(
        "nodes at the addresses of an interface have no beacon over IPv6",
        "crust/discovery/multicast.py",
        'names = (f"{each.address}%{each.interface}", str(each.address)',
        "names = (str(each.address)",
        (
            "tests.crust.discovery.test_packet.PlaceTests.test_link_local_address_of_an_interface_gives_one_place",
        ),
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
        "they are found here\n            self._look_at_the_host()\n",
        "they are found here\n            self._host.look(self._listening)\n",
        (
            "tests.crust.test_service_changes.ChangeTests.test_new_addresses_are_listened_on_before_a_bootstrap",
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
        "if link.is_doubted and self._proven >= self._broke:",
        "if False:",
        (
            "tests.crust.netstate.test_path_watch.PathWatchTests.test_link_that_owes_an_answer_when_two_networks_have_broken_is_cut_at_once",
        ),
    ),
    Mutant(
        "a slow link is cut for the break of one other",
        "crust/netstate/path_watch.py",
        "if link.is_doubted and self._proven >= self._broke:",
        "if link.is_doubted:",
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
        "a port that a router gave to another host is kept",
        "crust/mapping/natpmprouter.py",
        "return bool(reply.lifetime) and reply.external_port == lease.external.port",
        "return bool(reply.lifetime)",
        (
            "tests.crust.mapping.test_natpmprouter.AskingTests.test_port_that_has_gone_to_another_host_is_not_held",
        ),
    ),
    Mutant(
        "any host that knows our port can answer for the router over PCP",
        "crust/mapping/pcp.py",
        "if (code, nonce, protocol, local_port) != (_IS_REPLY | _MAP, request.nonce,",
        "if (code, protocol, local_port) != (_IS_REPLY | _MAP,",
        ("tests.crust.mapping.test_pcp.ReplyTests.test_reply_with_another_nonce_protocol_or_port_is_none",),
    ),
    Mutant(
        "a restarted node has another nonce for its mapping",
        "crust/mapping/portmapper.py",
        '    return lambda text: hmac.digest(key, text, "sha256")',
        "    return lambda text: random.randbytes(12)",
        ("tests.crust.mapping.test_portmapper.NonceTests.test_nonce_of_an_address_is_always_the_same",),
    ),
    Mutant(
        "a mapping that PCP moved to another port counts as held",
        "crust/mapping/pcprouter.py",
        "is_same = (str(reply.address), reply.port) == (lease.external.host, lease.external.port)",
        "is_same = str(reply.address) == lease.external.host",
        ("tests.crust.mapping.test_pcprouter.AskingTests.test_renewal_tells_whether_the_mapping_is_there",),
    ),
    Mutant(
        "a link over IPv4 counts as mapped because of a hole for IPv6",
        "crust/mapping/portmapper.py",
        "leases = [each for each in self.leases if not each.is_pinhole]",
        "leases = self.leases",
        ("tests.crust.mapping.test_pinholes.FollowingTests.test_hole_is_told_and_is_no_mapping_of_the_port",),
    ),
    Mutant(
        "holes stay for addresses that this host has lost",
        "crust/mapping/keepers.py",
        "            self._end(keeper)\n        for each, access in",
        "        for each, access in",
        ("tests.crust.mapping.test_pinholes.FollowingTests.test_holes_follow_the_addresses_of_this_host",),
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
        "crust/service.py",
        "        if self._ports.follow():\n            self._mapper.start(self._listening)\n",
        "        self._ports.follow()\n",
        ("tests.crust.test_service_changes.ChangeTests.test_routers_are_asked_for_ports_that_came_later",),
    ),
    Mutant(
        "a contact that was found by a name is saved with its address of the day",
        "crust/discovery/contacts.py",
        "if self._by_name.get(each.endpoint, None) is None]",
        "]",
        (
            "tests.crust.discovery.test_contacts.ContactBookTests.test_contact_that_was_found_by_a_name_is_saved_by_it",
        ),
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
        "the beacon of a private network is not sealed",
        "crust/discovery/packet.py",
        "        if self._cipher is None:\n            return datagram",
        "        if True:\n            return datagram",
        (
            "tests.crust.discovery.test_beacon.PrivateTests.test_datagrams_show_neither_the_network_nor_the_name",
        ),
    ),
    Mutant(
        "a recorded beacon of a private network is answered",
        "crust/discovery/beacon.py",
        "before = salt in self._heard",
        "before = False",
        ("tests.crust.discovery.test_beacon.PrivateTests.test_recorded_seek_is_not_answered_again",),
    ),
    Mutant(
        "a member that lacks the secret of beacons shows the network's id",
        "crust/discovery/packet.py",
        "self.is_silent = private and not secret",
        "self.is_silent = False",
        (
            "tests.crust.discovery.test_beacon.PrivateTests.test_node_without_the_secret_says_and_hears_nothing",
        ),
    ),
    Mutant(
        "one name that answers many times silences a beacon",
        "crust/discovery/beacon.py",
        "return min(len(self.names), len(self.hosts))",
        "return max(len(self.names), len(self.hosts))",
        ("tests.crust.discovery.test_beacon.LogicTests.test_one_key_and_one_host_count_once_as_answers",),
    ),
    Mutant(
        "a tunnel carries a tunnel",
        "crust/tunnel/relay.py",
        "if not self._room.exists or link.path_kind is PathKind.TUNNEL:",
        "if not self._room.exists:",
        ("tests.crust.tunnel.test_tunnels.TunnelTests.test_tunnel_through_a_tunnel_is_refused",),
    ),
    Mutant(
        "a node carries one tunnel too many",
        "crust/tunnel/room.py",
        "return (len(self._held) + 1) * LEAST_TUNNEL_BYTES + self.windows.taken > self._limit",
        "return len(self._held) * LEAST_TUNNEL_BYTES + self.windows.taken > self._limit",
        ("tests.crust.tunnel.test_tunnels",),
    ),
    Mutant(
        "many keys of one network keep all tunnels",
        "crust/tunnel/room.py",
        "if self._held.would_even_out(account):",
        "if False:",
        ("tests.crust.tunnel.test_relay.RelayTests.test_holder_of_most_tunnels_makes_room",),
    ),
    Mutant(
        "a tunnel counts for the peer that it leads to",
        "crust/tunnel/relay.py",
        "        account = account_of(link)\n",
        "        account = account_of(far)\n",
        (
            "tests.crust.tunnel.test_relay.RelayTests.test_awaited_tunnel_replaces_one_of_the_same_peer_that_is_idle",
        ),
    ),
    Mutant(
        "a tunnel that somebody waits for takes the place of a busy one",
        "crust/tunnel/carried.py",
        "return not self.is_busy and not (self.awaited and young)",
        "return not (self.awaited and young)",
        ("tests.crust.tunnel.test_relay.RelayTests.test_busy_tunnel_makes_no_room_for_an_awaited_one",),
    ),
    Mutant(
        "a tunnel that made room counts as broken by its relay",
        "crust/tunnel/ends.py",
        "ended = reason is not TunnelReason.NO_MEMORY",
        "ended = True",
        ("tests.crust.tunnel.test_tunnels.TunnelTests.test_tunnel_that_makes_room_is_no_fault_of_the_relay",),
    ),
    Mutant(
        "the ends of a tunnel do not learn where they are",
        "crust/tunnel/ends.py",
        "        if len(seen) in ADDRESS_BYTES:",
        "        if not seen:",
        ("tests.crust.tunnel.test_ends.EndTests.test_relay_tells_either_end_where_it_sees_the_other",),
    ),
    Mutant(
        "the window of a tunnel stays as it is",
        "crust/tunnel/windows.py",
        "if now - self._began < LIMITING_ROUND_TRIPS * self._round_trip < inf:",
        "if False:",
        ("tests.crust.tunnel.test_windows.GrowthTests.test_sender_that_is_never_done_is_bounded",),
    ),
    Mutant(
        "the window of a tunnel is one frame",
        "crust/tunnel/windows.py",
        "max(TUNNEL_WINDOW_BYTES, self.left // FRAMES_OF_CREDIT)",
        "most",
        ("tests.crust.tunnel.test_ends.TransportTests.test_data_is_cut_into_chunks_within_credit",),
    ),
    Mutant(
        "the windows of one network take all memory",
        "crust/tunnel/windows.py",
        "if of > self._limit - self.taken:",
        "if amount > self._limit - self.taken:",
        ("tests.crust.tunnel.test_windows.MemoryTests.test_windows_grow_within_their_memory_only",),
    ),
    Mutant(
        "a quiet tunnel keeps a large window",
        "crust/tunnel/windows.py",
        "        self._memory.give_back(self._account, self.size - size)\n",
        "",
        ("tests.crust.tunnel.test_windows.QuietTests.test_credit_that_is_given_back_frees_its_memory",),
    ),
    Mutant(
        "a network with many tunnels gets more of the rate",
        "crust/tunnel/relay.py",
        "self._turns.setdefault(side.tunnel.account[:1], deque()).append(side)",
        "self._turns.setdefault((), deque()).append(side)",
        ("tests.crust.tunnel.test_relay.RelayTests.test_networks_take_turns_whatever_tunnels_they_have",),
    ),
    Mutant(
        "a relay waits for time to pass while a link writes in each turn",
        "crust/tunnel/relay.py",
        "0.0 if writes else RECHECK_SECONDS",
        "RECHECK_SECONDS",
        (
            "tests.crust.tunnel.test_relay.RelayTests.test_link_that_writes_in_each_turn_is_given_more_in_each",
        ),
    ),
    Mutant(
        "a closed tunnel keeps the memory of its windows",
        "crust/tunnel/relay.py",
        "            side.window.close()\n",
        "",
        (
            "tests.crust.tunnel.test_relay.RelayTests.test_large_windows_leave_half_of_the_memory_for_new_tunnels",
        ),
    ),
    Mutant(
        "tunnels that nobody expects are offered without end",
        "crust/tunnel/carried.py",
        "self.carrier.unexpected(self.near.link)",
        "pass",
        ("tests.crust.tunnel.test_relay.RelayTests.test_tunnels_that_nobody_expects_are_soon_refused",),
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
    Mutant(
        "a port mapped behind a carrier's NAT is named to nobody",
        "crust/mapping/portmapper.py",
        "if new is not None and (new.reachable or new.reaches_neighbours):",
        "if new is not None and new.reachable:",
        (
            "tests.crust.mapping.test_portmapper.MapperTests.test_mapping_behind_a_carriers_nat_is_reported_but_maps_no_port",
        ),
    ),
    Mutant(
        "tunnels: a chunk has no room for its number",
        "crust/tunnel/transport.py",
        "MAX_FRAME_BYTES - NUMBER_BYTES",
        "MAX_FRAME_BYTES",
        ("tests.crust.tunnel.test_ends.TransportTests.test_much_credit_is_used_in_whole_frames",),
    ),
)
