"""Bugs in mapped ports, beacons and saved contacts."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "each stranger's link has the contacts written to the disk",
        "crust/discovery/contacts.py",
        "        self._written = self._clock.seconds()\n",
        "",
        (
            "tests.crust.discovery.test_contacts.ContactBookTests.test_changes_that_go_on_are_written_less_and_less_often",
        ),
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
        "crust/platform.py",
        'nonces = partial(identity.sign, "port mapping", "")',
        "nonces = lambda text: random.randbytes(12)",
        ("tests.crust.test_platform.MapperTests.test_nonces_of_a_node_are_the_same_after_a_restart",),
    ),
    Mutant(
        "a mapping that PCP moved to another port counts as held",
        "crust/mapping/pcprouter.py",
        "is_same = (str(reply.address), reply.port) == (lease.external.host, lease.external.port)",
        "is_same = str(reply.address) == lease.external.host",
        ("tests.crust.mapping.test_pcprouter.AskingTests.test_renewal_tells_whether_the_mapping_is_there",),
    ),
    Mutant(
        "a useless mapping stays at the router",
        "crust/mapping/keeper.py",
        "                if isinstance(problem, UselessMapping):",
        "                if False:",
        (
            "tests.crust.mapping.test_keeper.NobodyTests.test_useless_mapping_is_removed_before_the_next_protocol_is_tried",
        ),
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
        "a contact that was found by a name is saved with its address of the day",
        "crust/discovery/contacts.py",
        "if self._by_name.get(each.endpoint, None) is None]",
        "]",
        (
            "tests.crust.discovery.test_contacts.ContactBookTests.test_contact_that_was_found_by_a_name_is_saved_by_it",
        ),
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
        "some hosts together take all answers of the node that hears them",
        "crust/discovery/beacon_limits.py",
        "return self._pending.may_take((host,), MAX_PENDING)",
        "return self._pending.total < MAX_PENDING",
        (
            "tests.crust.discovery.test_beacon.LogicTests.test_seeks_of_five_hosts_leave_answers_to_others",
            "tests.crust.discovery.test_beacon.LogicTests.test_seeks_of_one_host_leave_answers_to_others",
        ),
    ),
    Mutant(
        "some hosts together take all checks of signatures of beacons",
        "crust/discovery/beacon_limits.py",
        "    if not window.may_take(account):",
        "    if not window.may_take(()):",
        ("tests.crust.discovery.test_beacon.LogicTests.test_answers_of_five_hosts_leave_checks_to_others",),
    ),
    Mutant(
        "a flood of beacons on one network silences another",
        "crust/discovery/beacon.py",
        "        self.limits = BeaconLimits(seconds)",
        "        self.limits = next((each.limits for each in beacon._ears.values()), BeaconLimits(seconds))",
        (
            "tests.crust.discovery.test_beacon.LogicTests.test_flood_on_one_network_takes_nothing_from_another",
        ),
    ),
    Mutant(
        "who copies a beacon takes the answer to it",
        "crust/discovery/beacon.py",
        "busy = self._nonce is not None or host in pending or",
        "busy = self._nonce is not None or pending or",
        (
            "tests.crust.discovery.test_beacon.LogicTests.test_host_that_copies_a_seek_does_not_take_the_answer_to_it",
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
        "a port mapped behind a carrier's NAT is named to nobody",
        "crust/mapping/portmapper.py",
        "if new is not None and (new.reachable or new.reaches_neighbours):",
        "if new is not None and new.reachable:",
        (
            "tests.crust.mapping.test_portmapper.MapperTests.test_mapping_behind_a_carriers_nat_is_reported_but_maps_no_port",
        ),
    ),
)
