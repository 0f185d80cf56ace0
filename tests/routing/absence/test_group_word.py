"""What is concluded from what the members of a group say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from routing_crust.crust.reachability import Knock, Presence
from routing_crust.endpoints import Endpoint
from routing_crust.names import Name
from routing_crust.routing.absence.absence_watch import Look
from routing_crust.routing.absence.group_word import Word

NAMES = tuple(Name(bytes([number]) * 32) for number in range(1, 9))
HERE = Endpoint.from_text("192.0.2.1:5483")


def word(denials: int, knows: int = 0, asked: int = 8, alone: bool = False) -> Word:
    return Word(frozenset(NAMES[:asked]), set(NAMES[:denials]), set(NAMES[denials : denials + knows]), alone)


class WordTests(SynchronousTestCase):
    def test_more_than_half_must_deny_and_nobody_know(self) -> None:
        self.assertTrue(word(8).is_denial)
        self.assertTrue(word(5).is_denial)
        self.assertFalse(word(4).is_denial)
        self.assertFalse(word(7, knows=1).is_denial)
        self.assertTrue(word(1, asked=1).is_denial)
        self.assertFalse(Word().is_denial)

    def test_text_says_who_said_what(self) -> None:
        self.assertEqual(word(8).text, "none of the 8 nodes nearest to its name knows of it")
        self.assertEqual(word(1, asked=1).text, "the only other node does not know of it")
        self.assertEqual(word(7, knows=1).text, "1 of the 8 nodes nearest to its name know of it")
        self.assertEqual(
            word(5).text, "5 of the 8 nodes nearest to its name know of no such node, and 3 did not answer"
        )
        self.assertEqual(Word().text, "nobody has said where it is")
        self.assertEqual(word(0, asked=0, alone=True).text, "there is no other node to ask for it")


class LookTests(SynchronousTestCase):
    def absent(self, said: Word, *found: Presence) -> bool:
        return Look(said, tuple(Knock(HERE, each, each.value) for each in found), 0.0).is_absence

    def test_absence_takes_a_denial_and_the_refusal_of_every_address(self) -> None:
        self.assertTrue(self.absent(word(8), Presence.GONE, Presence.GONE))
        self.assertFalse(self.absent(word(8), Presence.GONE, Presence.UNKNOWN))
        self.assertFalse(self.absent(word(8), Presence.GONE, Presence.THERE))
        self.assertFalse(self.absent(word(4), Presence.GONE))

    def test_address_that_cannot_be_dialled_from_here_counts_for_nothing(self) -> None:
        self.assertTrue(self.absent(word(8), Presence.NO_WAY))
        self.assertTrue(self.absent(word(8), Presence.NO_WAY, Presence.GONE))
        self.assertTrue(self.absent(word(8)))

    def test_without_other_nodes_an_address_must_have_refused(self) -> None:
        """That our own network is down says nothing of the peer."""
        alone = word(0, asked=0, alone=True)
        self.assertFalse(self.absent(alone))
        self.assertFalse(self.absent(alone, Presence.NO_WAY))
        self.assertTrue(self.absent(alone, Presence.NO_WAY, Presence.GONE))
