"""The windows of tunnels: how they grow with the round trip, within their memory, and become small again."""

from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.tunnel.windows import (
    MAX_TUNNEL_WINDOW_BYTES,
    MIN_ROUND_TRIP_SECONDS,
    QUIET_SECONDS,
    TUNNEL_WINDOW_BYTES,
    ReceiveWindow,
    SendCredit,
    WindowMemory,
)

FIRST = TUNNEL_WINDOW_BYTES
MIB = 1 << 20
STEP = 0.005
PLENTY = 1 << 30
ONE, OTHER = ("N", "N.1", "a"), ("M", "M.1", "b")


class WindowCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def window(self, memory: WindowMemory | None = None, account: tuple[str, ...] = ONE) -> ReceiveWindow:
        window = ReceiveWindow(
            WindowMemory(PLENTY) if memory is None else memory, account, self.clock.seconds
        )
        window.open()
        return window

    def carry(
        self,
        window: ReceiveWindow,
        seconds: float,
        round_trip: float,
        sent_per_second: float = PLENTY,
        taken_per_second: float = PLENTY,
    ) -> float:
        """Have a sender send what it may for a while. Returns the bytes a second in the last of them."""
        delay = round(round_trip / 2 / STEP)
        grants = deque([0] * (delay - 1) + [window.left])
        data = deque([0] * delay)
        credit = waiting = through = 0
        steps = round(seconds / STEP)
        for step in range(steps):
            credit += grants.popleft()
            sent = min(credit, int(sent_per_second * STEP))
            credit -= sent
            data.append(sent)
            come = data.popleft()
            self.assertTrue(window.received(come))
            waiting += come
            taken = min(waiting, int(taken_per_second * STEP))
            waiting -= taken
            grants.append(window.taken(taken) if taken else 0)
            if step >= steps - 1 / STEP:
                through += taken
            self.clock.advance(STEP)
        return through


class GrowthTests(WindowCase):
    def test_window_grows_to_what_rate_and_round_trip_need(self) -> None:
        """And not much beyond."""
        for round_trip in (0.05, 0.2):
            window = self.window()
            self.assertGreater(self.carry(window, 5, round_trip, sent_per_second=MIB), 0.95 * MIB)
            self.assertLess(window.size, 4.5 * MIB * round_trip)

    def test_sender_that_is_never_done_is_bounded(self) -> None:
        window = self.window()
        self.carry(window, 10, 0.2)
        self.assertEqual(window.size, MAX_TUNNEL_WINDOW_BYTES)

    def test_window_within_a_host_lasts_for_some_turns_at_the_processor(self) -> None:
        """And not for many more, although the round trip is shorter than all of them."""
        window = self.window()
        rate = 16 * MIB
        self.clock.advance(MIN_ROUND_TRIP_SECONDS / 50)
        for _ in range(1000):
            part = window.size // 4
            self.assertTrue(window.received(part))
            window.taken(part)
            self.clock.advance(part / rate)
        self.assertGreaterEqual(window.size / rate, 2 * MIN_ROUND_TRIP_SECONDS)
        self.assertLess(window.size / rate, 4 * MIN_ROUND_TRIP_SECONDS)

    def test_window_does_not_grow_for_a_slow_taker(self) -> None:
        """What comes would only wait: all that is in the window waits already."""
        window = self.window()
        self.carry(window, 10, 0.05, taken_per_second=32 * 1024)
        self.assertLessEqual(window.size, 2 * FIRST)

    def test_window_that_is_taken_without_hurry_stays(self) -> None:
        window = self.window()
        self.carry(window, 20, 0.1, sent_per_second=32 * 1024)
        self.assertEqual(window.size, FIRST)


class MemoryTests(WindowCase):
    def test_windows_grow_within_their_memory_only(self) -> None:
        """One network gets at most half of it, and another still gets some."""
        memory = WindowMemory(MIB)
        windows = [self.window(memory) for _ in range(2)]
        for window in windows:
            self.carry(window, 10, 0.2)
        self.assertGreater(memory.taken, MIB // 4)
        self.assertLessEqual(memory.taken, MIB // 2)
        other = self.window(memory, OTHER)
        self.carry(other, 10, 0.2)
        self.assertGreaterEqual(other.size, MIB // 8)
        self.assertEqual(memory.taken, sum(each.size - FIRST for each in (*windows, other)))
        for window in (*windows, other):
            window.close()
            window.close()
        self.assertEqual((memory.taken, len(memory)), (0, 0))

    @given(st.lists(st.tuples(st.sampled_from((ONE, OTHER)), st.integers(1, 400))))
    def test_memory_is_never_exceeded(self, wanted: list[tuple[tuple[str, ...], int]]) -> None:
        memory = WindowMemory(1000)
        got = [(account, amount) for account, amount in wanted if memory.take(account, amount)]
        self.assertLessEqual(memory.taken, 1000)
        for account, amount in got:
            memory.give_back(account, amount)
        self.assertEqual((memory.taken, len(memory)), (0, 0))


class QuietTests(WindowCase):
    def test_quiet_sender_gives_back_what_is_more_than_a_first_window(self) -> None:
        """It does so with what it sends next, and sends heartbeats at least."""
        credit = SendCredit(self.clock.seconds)
        credit.left = MIB
        self.assertEqual(credit.spend(100_000), 0)
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(credit.spend(50), 0)
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(credit.spend(50), MIB - 100_100 - FIRST)
        self.assertEqual(credit.left, FIRST)
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(credit.spend(50), 0)

    def test_credit_that_is_given_back_frees_its_memory(self) -> None:
        memory = WindowMemory(16 * MIB)
        window = self.window(memory)
        self.carry(window, 10, 0.2, sent_per_second=4 * MIB)
        before = window.size
        self.assertTrue(window.returned(before // 2))
        self.assertEqual((window.size, memory.taken), (before - before // 2, before - before // 2 - FIRST))

    def test_more_credit_than_there_is_cannot_be_given_back(self) -> None:
        window = self.window()
        self.assertFalse(window.returned(FIRST + 1))

    def test_window_is_never_smaller_than_the_first_one(self) -> None:
        memory = WindowMemory(MIB)
        window = self.window(memory)
        self.assertTrue(window.returned(FIRST))
        self.assertEqual((window.size, memory.taken), (FIRST, 0))
