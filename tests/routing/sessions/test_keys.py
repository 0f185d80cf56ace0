"""The keys of sessions: what can be opened, once, by whom; and the window of counters."""

from __future__ import annotations

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.routing.sessions import keys
from routing_crust.routing.sessions.keys import EPOCH_PACKETS, EPOCH_SECONDS, OpeningKeys, SealingKeys
from routing_crust.routing.sessions.replay_window import WINDOW_PACKETS, ReplayWindow
from routing_crust.wire.fields import MAX_WIRE_NUMBER

SECRET = bytes(range(32))


class WindowTests(SynchronousTestCase):
    """Which counters are new."""

    def test_counter_is_new_once(self) -> None:
        window = ReplayWindow()
        for counter in (0, 2, 1, 5000, 4999):
            self.assertTrue(window.is_new(counter))
            window.note(counter)
            self.assertFalse(window.is_new(counter))

    def test_counter_below_the_window_is_too_old(self) -> None:
        window = ReplayWindow()
        window.note(WINDOW_PACKETS)
        self.assertTrue(window.is_new(1))
        self.assertFalse(window.is_new(0))

    def test_counter_far_ahead_takes_no_memory(self) -> None:
        window = ReplayWindow()
        window.note(0)
        window.note(MAX_WIRE_NUMBER)
        self.assertLess(window._seen.bit_length(), WINDOW_PACKETS + 1)
        self.assertFalse(window.is_new(0))

    @settings(deadline=None)
    @given(st.lists(st.integers(0, 3000), max_size=60))
    def test_window_is_a_set_of_the_latest_counters(self, counters: list[int]) -> None:
        """It says of any counter what a set of all that has come would say, but that old ones are refused."""
        window, seen = ReplayWindow(), set[int]()
        for counter in counters:
            top = max(seen, default=-1)
            expected = counter not in seen and counter > top - WINDOW_PACKETS
            self.assertEqual(window.is_new(counter), expected)
            if expected:
                window.note(counter)
                seen.add(counter)


class KeyTests(SynchronousTestCase):
    """What one direction of a session seals and opens."""

    def setUp(self) -> None:
        self.sealing, self.opening = SealingKeys(SECRET, 0), OpeningKeys(SECRET)

    def seal(self, plaintext: bytes = b"text", now: float = 0) -> keys.SealedPacket:
        return self.sealing.seal(7, b"beside", plaintext, now)

    def test_packet_opens_once(self) -> None:
        packet = self.seal()
        self.assertEqual((packet.session, packet.epoch, packet.counter), (7, 0, 0))
        self.assertNotIn(b"text", packet.ciphertext)
        self.assertEqual(self.opening.open(packet, b"beside"), b"text")
        self.assertIsNone(self.opening.open(packet, b"beside"))

    def test_altered_packet_does_not_open_and_does_not_use_up_the_counter(self) -> None:
        packet = self.seal()
        for bit in range(8 * len(packet.ciphertext)):
            flipped = bytearray(packet.ciphertext)
            flipped[bit // 8] ^= 1 << bit % 8
            self.assertIsNone(self.opening.open(replace(packet, ciphertext=bytes(flipped)), b"beside"))
        for other in (replace(packet, counter=1), replace(packet, epoch=1), replace(packet, epoch=9)):
            self.assertIsNone(self.opening.open(other, b"beside"))
        self.assertIsNone(self.opening.open(packet, b"besides"))
        self.assertIsNone(OpeningKeys(bytes(32)).open(packet, b"beside"))
        self.assertEqual(self.opening.open(packet, b"beside"), b"text")

    def test_equal_plaintexts_give_other_ciphertexts(self) -> None:
        self.assertNotEqual(self.seal().ciphertext, self.seal().ciphertext)

    def test_keys_move_on_with_time_and_packets(self) -> None:
        """After an hour, or a number of packets, the next key seals; late packets of the last one open."""
        late = self.seal()
        hour = self.seal(now=EPOCH_SECONDS)
        self.assertEqual((hour.epoch, hour.counter), (1, 1))
        self.assertEqual(self.opening.open(hour, b"beside"), b"text")
        self.assertEqual(self.opening.open(late, b"beside"), b"text")
        with patch.object(keys, "EPOCH_PACKETS", 3):
            opened = SealingKeys(SECRET, 0)
            epochs = [opened.seal(7, b"", b"", 0).epoch for _ in range(7)]
        self.assertEqual(epochs, [0, 0, 0, 1, 1, 1, 2])
        self.assertEqual(EPOCH_PACKETS, 1 << 20)

    def test_key_before_the_last_is_forgotten(self) -> None:
        old = self.seal()
        for hour in (1, 2):
            self.assertIsNotNone(self.opening.open(self.seal(now=hour * EPOCH_SECONDS), b"beside"))
        self.assertIsNone(self.opening.open(old, b"beside"))

    def test_packet_made_up_for_the_next_epoch_moves_nothing(self) -> None:
        packet = self.seal()
        forged = replace(packet, epoch=1, counter=5)
        self.assertIsNone(self.opening.open(forged, b"beside"))
        self.assertEqual(self.opening._current.number, 0)
        self.assertEqual(self.opening.open(packet, b"beside"), b"text")

    def test_next_key_is_made_once_when_a_packet_names_it(self) -> None:
        """A session begins without it, and a relay that makes packets up costs us one derivation."""
        packet = self.seal()
        with patch.object(keys, "_expand", wraps=keys._expand) as expand:
            OpeningKeys(SECRET)
            SealingKeys(SECRET, 0)
            self.assertEqual(expand.call_count, 2)
            for counter in range(1, 9):
                self.assertIsNone(self.opening.open(replace(packet, epoch=1, counter=counter), b"beside"))
            # the secret of the next epoch, and its key
            self.assertEqual(expand.call_count, 4)
            hour = self.seal(now=EPOCH_SECONDS)
            self.assertEqual(self.opening.open(hour, b"beside"), b"text")
            # the other end's two
            self.assertEqual(expand.call_count, 6)
        self.assertEqual(self.opening.open(packet, b"beside"), b"text")

    def test_secret_of_an_epoch_is_forgotten_with_the_next(self) -> None:
        self.opening.open(self.seal(now=EPOCH_SECONDS), b"beside")
        assert self.opening._before is not None
        self.assertEqual(self.opening._before._secret, b"")

    def test_later_keys_say_nothing_of_earlier_ones(self) -> None:
        """The keys of an epoch differ from those of the others, and from those of another secret."""
        packets = [self.seal(now=hour * EPOCH_SECONDS) for hour in range(3)]
        late = keys._Epoch(2, self.sealing._epoch.following()._secret)
        for packet in packets:
            self.assertRaises(
                keys.InvalidTag, late.cipher.decrypt, late.nonce(packet.counter), packet.ciphertext, b"beside"
            )
