"""Bugs in tunnels."""

from __future__ import annotations

from typing import Final

from ..mutant import Mutant

MUTANTS: Final[tuple[Mutant, ...]] = (
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
        ("tests.crust.tunnel.test_room.RoomTests.test_holder_of_most_tunnels_makes_room",),
    ),
    Mutant(
        "a tunnel counts for the peer that it leads to",
        "crust/tunnel/relay.py",
        "        account = account_of(link)\n",
        "        account = account_of(far)\n",
        (
            "tests.crust.tunnel.test_room.RoomTests.test_awaited_tunnel_replaces_one_of_the_same_peer_that_is_idle",
        ),
    ),
    Mutant(
        "each key of a prefix may bother a peer with tunnels that it does not expect",
        "crust/tunnel/relay.py",
        "        self._unexpected.take(account_of(link)[:1])",
        "        self._unexpected.take((str(link.peer),))",
        (
            "tests.crust.tunnel.test_relay.RelayTests.test_keys_of_one_prefix_bother_a_peer_no_more_than_one_does",
            "tests.crust.tunnel.test_relay.RelayTests.test_tunnels_that_nobody_expects_are_soon_refused",
        ),
    ),
    Mutant(
        "a new link brings a new rate of requests for tunnels",
        "crust/tunnel/dispatch.py",
        "        self._numbers.link_lost(link)",
        "        self._relay._opens._limits.pop(link.peer, None)\n        self._numbers.link_lost(link)",
        ("tests.crust.tunnel.test_relay.RelayTests.test_new_link_brings_no_new_rate_of_requests",),
    ),
    Mutant(
        "a tunnel that somebody waits for takes the place of a busy one",
        "crust/tunnel/carried.py",
        "return not self.is_busy and not (self.awaited and young)",
        "return not (self.awaited and young)",
        ("tests.crust.tunnel.test_room.RoomTests.test_busy_tunnel_makes_no_room_for_an_awaited_one",),
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
        "if now - self._began < LIMITING_ROUND_TRIPS * round_trip < inf:",
        "if False:",
        ("tests.crust.tunnel.test_windows.GrowthTests.test_sender_that_is_never_done_is_bounded",),
    ),
    Mutant(
        "the window of a tunnel within a host holds its sender back",
        "crust/tunnel/windows.py",
        "max(self._round_trip, MIN_ROUND_TRIP_SECONDS)",
        "self._round_trip",
        (
            "tests.crust.tunnel.test_windows.GrowthTests."
            "test_window_within_a_host_lasts_for_some_turns_at_the_processor",
        ),
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
        "tunnels: a chunk has no room for its number",
        "crust/tunnel/transport.py",
        "MAX_FRAME_BYTES - NUMBER_BYTES",
        "MAX_FRAME_BYTES",
        ("tests.crust.tunnel.test_ends.TransportTests.test_much_credit_is_used_in_whole_frames",),
    ),
)
