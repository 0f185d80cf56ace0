"""Sessions of streams: what a RESUME leads to, what is kept and sent again, what a peer may not say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.errors import WireError
from routing_crust.streams.frames import (
    Ended,
    Resume,
    StreamFrame,
    pack_count,
    read_count,
    read_resume,
    resume_frame,
)
from routing_crust.streams.survival import session as session_module
from routing_crust.streams.survival.journal import Journal
from routing_crust.streams.survival.session import (
    ACK_AFTER_BYTES,
    ACK_BESIDE_BYTES,
    FIRST_EPOCH,
    ResumeOutcome,
    StreamSession,
)

DATA = int(StreamFrame.DATA)
MINE, THEIRS = 11, 22


class Sink:
    """A link: what was sent over it, and whether it is to ask for data."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes]] = []
        self.hungry = False

    def send(self, kind: int, payload: bytes) -> None:
        self.sent.append((int(kind), payload))

    def feed_soon(self) -> None:
        self.hungry = True

    def take(self) -> list[tuple[int, bytes]]:
        sent, self.sent = self.sent, []
        return sent

    def resumes(self) -> list[Resume]:
        return [read_resume(payload) for kind, payload in self.take() if kind == StreamFrame.RESUME]


class FrameTests(SynchronousTestCase):
    def test_resume_and_count_come_out_as_they_went_in(self) -> None:
        resume = Resume((1 << 64) - 1, 0, 3, 1 << 40, Ended.NO_ROOM)
        self.assertEqual(read_resume(resume_frame(resume)), resume)
        self.assertEqual(read_count(pack_count(1 << 60)), 1 << 60)

    def test_what_is_too_short_too_long_or_nought_is_refused(self) -> None:
        payload = resume_frame(Resume(1, 2, 3, 4))
        for wrong in (payload[:-1], payload + b"x", resume_frame(Resume(0, 2, 3, 4))):
            self.assertRaises(WireError, read_resume, wrong)
        self.assertRaises(WireError, read_resume, resume_frame(Resume(1, 2, 0, 4)))
        for wrong in (b"", bytes(7), bytes(9)):
            self.assertRaises(WireError, read_count, wrong)

    def test_unknown_cause_is_read_as_none(self) -> None:
        payload = resume_frame(Resume(1, 2, 3, 4))[:-1] + b"\xff"
        self.assertIs(read_resume(payload).ended, Ended.NONE)


class JournalTests(SynchronousTestCase):
    def test_acknowledged_frames_are_forgotten_and_others_kept_in_order(self) -> None:
        journal = Journal()
        for number in range(5):
            journal.add(DATA, b"%d" % number)
        journal.acknowledge(2)
        journal.acknowledge(2)
        self.assertEqual((journal.count, len(journal), journal.size), (5, 3, 3))
        self.assertEqual([payload for _, payload in journal.after(3)], [b"3", b"4"])

    def test_peer_cannot_have_received_fewer_than_before_or_more_than_there_were(self) -> None:
        journal = Journal()
        for _ in range(5):
            journal.add(DATA, b"x")
        journal.acknowledge(2)
        for wrong in (1, 6):
            self.assertFalse(journal.can_be(wrong))
            self.assertRaises(WireError, journal.acknowledge, wrong)


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.link = Sink()
        self.session = StreamSession(MINE)
        self.session.begin(self.link, new=True)

    def resume(self, mine: int = THEIRS, yours: int = 0, epoch: int = 1, received: int = 0) -> ResumeOutcome:
        return self.session.resume_received(Resume(mine, yours, epoch, received))

    def bind(self) -> None:
        self.assertIs(self.resume(), ResumeOutcome.CONTINUED)
        self.link.take()

    def again(self, epoch: int = 2) -> None:
        """Another link."""
        self.session.suspend()
        self.link = Sink()
        self.session.begin(self.link, new=False)
        self.assertEqual([each.epoch for each in self.link.resumes()], [epoch])

    def test_first_frame_on_a_link_is_a_resume(self) -> None:
        self.session.send(DATA, b"x")
        self.assertEqual(
            self.link.take(),
            [(StreamFrame.RESUME, resume_frame(Resume(MINE, 0, FIRST_EPOCH, 0))), (DATA, b"x")],
        )

    def test_nothing_counts_before_the_peer_has_resumed(self) -> None:
        self.assertFalse(self.session.count(10))
        self.bind()
        self.assertTrue(self.session.count(10))

    def test_first_resume_sends_nothing_again(self) -> None:
        self.session.send(DATA, b"x")
        self.link.take()
        self.assertIs(self.resume(), ResumeOutcome.CONTINUED)
        self.session.feed(1000)
        self.assertEqual(self.link.take(), [])

    def test_new_link_carries_what_the_peer_has_not_received(self) -> None:
        """And what was sent meanwhile, after it; nothing before the peer has said where it is."""
        self.bind()
        for each in (b"a", b"b", b"c"):
            self.session.send(DATA, each)
        self.again()
        self.session.send(DATA, b"d")
        self.assertEqual(self.session.feed(1000), 0)
        self.assertEqual(self.link.take(), [])
        self.assertIs(self.resume(yours=MINE, epoch=2, received=2), ResumeOutcome.CONTINUED)
        self.assertTrue(self.link.hungry)
        self.session.send(DATA, b"e")
        self.assertGreater(self.session.feed(1000), 0)
        self.assertEqual(self.link.take(), [(DATA, b"c"), (DATA, b"d"), (DATA, b"e")])
        self.assertEqual(self.session.resent, 2)
        self.session.send(DATA, b"f")
        self.assertEqual(self.link.take(), [(DATA, b"f")])

    def test_no_more_is_sent_again_at_once_than_there_is_room_for(self) -> None:
        self.bind()
        for _ in range(10):
            self.session.send(DATA, bytes(1000))
        self.again()
        self.resume(yours=MINE, epoch=2)
        self.assertEqual(self.session.feed(2000), 0)
        self.assertEqual(len(self.link.take()), 2)

    def test_our_resume_says_how_much_has_come(self) -> None:
        self.bind()
        for _ in range(3):
            self.session.count(10)
        self.session.suspend()
        link = Sink()
        self.session.begin(link, new=False)
        self.assertEqual(link.resumes(), [Resume(MINE, THEIRS, 2, 3)])

    def test_lower_epoch_is_ignored_and_a_higher_one_entered(self) -> None:
        self.bind()
        self.session.send(DATA, b"a")
        self.again()
        self.assertIs(self.resume(yours=MINE, epoch=1), ResumeOutcome.IGNORED)
        self.assertIs(self.resume(yours=MINE, epoch=5), ResumeOutcome.CONTINUED)
        self.session.feed(1000)
        self.assertEqual(
            self.link.take(),
            [(StreamFrame.RESUME, resume_frame(Resume(MINE, THEIRS, 5, 0))), (DATA, b"a")],
        )

    def test_peer_that_has_seen_a_loss_by_itself_gets_everything_again(self) -> None:
        """It enters a new epoch on the same link, and drops what comes before our RESUME for that."""
        self.bind()
        self.session.send(DATA, b"a")
        self.link.take()
        self.assertIs(self.resume(yours=MINE, epoch=2), ResumeOutcome.CONTINUED)
        self.session.feed(1000)
        self.assertEqual([kind for kind, _ in self.link.take()], [StreamFrame.RESUME, DATA])

    def test_peer_with_another_session_has_forgotten_this_one(self) -> None:
        self.bind()
        self.again()
        self.assertIs(self.resume(mine=33, epoch=1), ResumeOutcome.FORGOTTEN)

    def test_numbers_that_cannot_be_end_the_session(self) -> None:
        self.bind()
        self.session.send(DATA, b"a")
        self.session.acknowledged(1)
        for received in (0, 2):
            self.again(epoch=2 + received // 2)
            self.assertIs(self.resume(yours=MINE, epoch=9, received=received), ResumeOutcome.FALSE)

    def test_new_session_does_not_mind_what_the_peer_says_to_the_one_before(self) -> None:
        self.assertIs(self.resume(yours=44, epoch=7, received=900), ResumeOutcome.IGNORED)
        self.assertIs(self.resume(mine=33, yours=MINE, epoch=1), ResumeOutcome.CONTINUED)

    def test_successor_tells_the_peer_its_number(self) -> None:
        """And what was opened before its RESUME goes out after it."""
        successor, link = StreamSession(55), Sink()
        successor.send(DATA, b"early")
        successor.follow(Resume(THEIRS, 0, 3, 0), link)
        self.assertEqual(link.resumes(), [Resume(55, THEIRS, 3, 0)])
        successor.feed(1000)
        self.assertEqual(link.take(), [(DATA, b"early")])
        self.assertTrue(successor.count(1))

    def test_peer_whose_layer_came_late_is_answered(self) -> None:
        """What we sent before was dropped there."""
        self.session.send(DATA, b"dropped")
        self.link.take()
        self.assertIs(self.resume(epoch=2), ResumeOutcome.CONTINUED)
        self.session.feed(1000)
        self.assertEqual([kind for kind, _ in self.link.take()], [StreamFrame.RESUME, DATA])
        late, link = StreamSession(55), Sink()
        late.begin(link, new=False)
        self.assertEqual([each.epoch for each in link.resumes()], [FIRST_EPOCH + 1])
        self.assertIs(late.resume_received(Resume(66, 0, FIRST_EPOCH + 1, 0)), ResumeOutcome.CONTINUED)
        self.assertEqual([each.yours for each in link.resumes()], [66])

    def test_received_frames_are_acknowledged_by_bytes(self) -> None:
        self.bind()
        self.session.count(ACK_AFTER_BYTES // 2)
        self.assertEqual(self.link.take(), [])
        self.assertTrue(self.session.unacknowledged)
        self.session.count(ACK_AFTER_BYTES // 2)
        self.assertEqual(self.link.take(), [(StreamFrame.ACK, pack_count(2))])
        self.assertFalse(self.session.unacknowledged)

    def test_acknowledgement_goes_beside_a_frame_before_it_is_due(self) -> None:
        self.bind()
        self.session.count(ACK_BESIDE_BYTES // 2)
        self.session.send(DATA, b"a")
        self.assertEqual(self.link.take(), [(DATA, b"a")])
        self.session.count(ACK_BESIDE_BYTES // 2)
        self.assertEqual(self.link.take(), [])
        self.session.send(DATA, b"b")
        self.assertEqual(self.link.take(), [(DATA, b"b"), (StreamFrame.ACK, pack_count(2))])
        self.assertFalse(self.session.unacknowledged)

    def test_acknowledgement_of_frames_that_were_never_sent_is_refused(self) -> None:
        self.bind()
        self.session.send(DATA, b"a")
        self.assertRaises(WireError, self.session.acknowledged, 2)

    def test_peer_that_acknowledges_nothing_is_refused(self) -> None:
        self.patch(session_module, "MAX_UNACKNOWLEDGED_FRAMES", 10)
        self.bind()
        for _ in range(11):
            self.session.send(DATA, b"a")
        self.assertRaises(WireError, self.session.count, ACK_AFTER_BYTES)
