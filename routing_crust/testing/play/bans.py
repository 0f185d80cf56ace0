"""
Bans: members of a private network are banned while some are away, some are hostile and the network is in two
parts.

The checks, as in the design's invariant 13:

  - C{banned_are_cut}: L{EXPELLED_WITHIN_SECONDS} after a ban has been made, no honest member that the banned
    one's links lead to still has one, unless nothing can reach it. Nor has any a link with it later, though
    it starts again as if it had heard nothing, and shows all whom it knew its banned certificate.
  - C{returning_refuse}: a member that was away, or in the other part, has no link with a banned one
    L{EXPELLED_WITHIN_SECONDS} seconds after it has one with an honest member.
  - C{nobody_else_is_cut}: no link ends for a ban, or a certificate, but those of banned members; and all
    honest members have their close groups in the end.
  - C{all_agree}: in the end all honest members hold the same roster.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from statistics import median
from typing import Final

from ...crust.interfaces import ILink
from ...errors import CloseReason, LinkClosed
from ...names import Name
from ...routing.events import LinkLost
from ...routing.service import RoutingService
from ...trust.roster import Roster
from ..host import SimulatedNode
from ..simulation import SimulatedNetwork
from .invariants import InvariantBroken

EXPELLED_WITHIN_SECONDS: Final = 5.0
AWAY_SHARE: Final = 0.1
HOSTILE_SHARE: Final = 0.05
BANNED_SHARE: Final = 0.05
SECONDS_BETWEEN_BANS: Final = 8.0
BANS_WITHIN_SECONDS: Final = 120.0
"""In which all bans of the whole network are made: with more than 15 of them they follow faster."""
APART_SECONDS: Final = 90.0
"""For how long the network is in two parts: longer than silent links live."""
AGREE_WITHIN_SECONDS: Final = 200.0
"""Seconds after everybody is back in which all hold the same roster: parts find each other by probes."""
ARRIVALS_PER_SECOND: Final = 10.0
LOOK_EVERY_SECONDS: Final = 0.05
LOOK_AT_BANNED_EVERY_SECONDS: Final = 1.0
FOR_MEMBERSHIP: Final = frozenset(
    (
        CloseReason.BANNED,
        CloseReason.BAD_CERTIFICATE,
        CloseReason.NO_CERTIFICATE,
        CloseReason.CERTIFICATE_EXPIRED,
        CloseReason.CERTIFICATE_TOO_EARLY,
        CloseReason.ROLE_NOT_GRANTED,
        CloseReason.NICKNAME_TAKEN,
    )
)
"""Reasons that only the links of banned members end for."""


@dataclass(frozen=True, slots=True)
class BanPlan:
    """
    What to play.

    @ivar seed: what everything is drawn from.
    @ivar members: how many there are.
    """

    seed: int
    members: int = 12


@dataclass(frozen=True, slots=True)
class BanResult:
    """
    The outcome of a L{BanPlan}.

    @ivar problem: what did not hold; empty if all did.
    @ivar trace: the hash of all that happened.
    @ivar figures: numbers about it, by name.
    """

    plan: BanPlan
    problem: str
    trace: str
    figures: dict[str, float]


class BanRun:
    """One run of a L{BanPlan}."""

    def __init__(self, plan: BanPlan) -> None:
        self.plan = plan
        self.network = SimulatedNetwork(plan.seed, private=True)
        self.figures: dict[str, float] = {}
        self._random = Random(f"bans of {plan.seed}")
        self._away: list[SimulatedNode] = []
        self._hostile: list[SimulatedNode] = []
        self._banned: dict[Name, SimulatedNode] = {}
        self._wrongly: list[str] = []
        self._cut_after: list[float] = []
        self._heard_after: list[float] = []
        self._refused = 0

    def run(self) -> None:
        """
        Play it.

        @raise InvariantBroken: something did not hold that must.
        @raise SimulationStuck: something did not come about in its time.
        """
        self.grow()
        self.go_away()
        self.turn_hostile()
        count = max(1, round(self.plan.members * BANNED_SHARE))
        for _ in range(count):
            self.ban_one(min(SECONDS_BETWEEN_BANS, BANS_WITHIN_SECONDS / count))
        self.ban_while_apart()
        self.come_back()
        self.agree()
        self.network.stop()

    @property
    def admin(self) -> SimulatedNode:
        """The member that bans."""
        return self.network.all[0]

    def grow(self) -> None:
        """All join."""
        network = self.network
        for _ in range(self.plan.members):
            network.node(setup=self._watch)
            network.run_for(1 / ARRIVALS_PER_SECOND)
        network.run_until(network.joined, 300, every=1.0)
        network.run_for(20)

    def go_away(self) -> None:
        """Some are switched off, each in one of two ways."""
        for node in self._some(AWAY_SHARE):
            node.crash(silently=self._random.random() < 0.5)
            self._away.append(node)
        self.network.run_for(70)

    def turn_hostile(self) -> None:
        """Some hear of no ban and pass none on; every other one lies about what it holds as well."""
        for number, node in enumerate(self._some(HOSTILE_SHARE)):
            core, membership = node.core, node.membership
            assert core is not None
            assert core.private is not None
            assert membership is not None
            # such a member still looks like an honest one to its peers
            core.private.sync.add = _take_nothing  # type: ignore[method-assign]
            if number % 2:
                membership.roster = _lying(membership.roster, self._random.randbytes(32))
            self._hostile.append(node)

    def ban_one(self, seconds: float = SECONDS_BETWEEN_BANS) -> None:
        """Ban a member that is there, see how long its links last, and watch it try to come back."""
        (victim,) = self._some(0.0)
        self._ban(victim)
        self._until_cut(self._honest(), victim)
        self._return_as_banned(victim)
        self._watch_for(seconds)

    def ban_while_apart(self) -> None:
        """The network is in two parts when a member is banned that is in the other one."""
        network = self.network
        others = [each for each in network.alive if each is not self.admin]
        self._random.shuffle(others)
        here, there = [self.admin, *others[::2]], others[1::2]
        honest = self._honest(there)
        if not honest:
            return
        network.partition(here, there)
        network.run_for(1)
        victim = honest[0]
        self._ban(victim)
        self._until_cut(self._honest(here), victim)
        network.run_for(APART_SECONDS)
        network.heal()
        self._until_all_have_heard(self._honest(there))
        self._look()

    def come_back(self) -> None:
        """Let the members return that were away."""
        for node in self._away:
            node.restart()
        self._until_all_have_heard([each for each in self._away if each.name not in self._banned])
        self.network.run_for(EXPELLED_WITHIN_SECONDS)
        self._look()

    def agree(self) -> None:
        """In the end all honest members hold the same."""
        network = self.network
        network.run_until(
            lambda: len({_held(each) for each in self._honest()}) == 1, AGREE_WITHIN_SECONDS, every=1.0
        )
        self._look()
        honest = self._honest()
        network.run_until(lambda: all(each.joined for each in honest), AGREE_WITHIN_SECONDS, every=1.0)
        self.figures["bans"] = float(len(self._banned))
        self.figures["links refused to banned members"] = float(self._refused)
        self.figures["cut after, median, s"] = median(self._cut_after)
        self.figures["cut after, worst, s"] = max(self._cut_after)
        self.figures["returning have heard after, worst, s"] = max(self._heard_after, default=0.0)

    def _watch(self, service: RoutingService) -> None:
        service.observe(LinkLost, lambda event: self._lost(service.node_name, event))

    def _lost(self, at: Name, event: LinkLost) -> None:
        # one of the two ends must be banned
        if event.reason in FOR_MEMBERSHIP and not {at, event.link.name} & self._banned.keys():
            self._wrongly.append(f"{at.short} lost {event.link.name.short}: {event.reason.text}")

    def _some(self, share: float) -> list[SimulatedNode]:
        """This number of those that are there, one at least, and nothing else yet; never the admin."""
        there = [
            each
            for each in self.network.alive
            if each is not self.admin and each.name not in self._banned and each not in self._hostile
        ]
        return self._random.sample(there, max(1, round(self.plan.members * share)))

    def _honest(self, members: Iterable[SimulatedNode] | None = None) -> list[SimulatedNode]:
        """The members that keep to the rules, of these; of all that are there if none are given."""
        among = self.network.alive if members is None else members
        return [each for each in among if each not in self._hostile and each.name not in self._banned]

    def _ban(self, victim: SimulatedNode) -> None:
        self._banned[victim.name] = victim
        founder, core, membership = self.network.founder, self.admin.core, self.admin.membership
        assert founder is not None
        assert core is not None
        assert core.private is not None
        assert membership is not None
        now = self.network.clock.seconds()
        core.private.add_statements([founder.issuer().ban(victim.name, membership.roster, now)])

    def _return_as_banned(self, victim: SimulatedNode) -> None:
        """It is hostile from now on: it starts again with an empty roster, and takes no statement."""
        membership = victim.membership
        assert membership is not None
        # a stop would say Goodbye, which no hostile member does
        victim.crash()
        membership.set_roster(Roster(membership.network))
        victim.restart()
        core = victim.core
        assert core is not None
        assert core.private is not None
        core.private.sync.add = _take_nothing  # type: ignore[method-assign]
        lost_connection = core.lost_connection

        def count(link: ILink, reason: LinkClosed) -> None:
            self._refused += reason.reason is CloseReason.BANNED
            lost_connection(link, reason)

        core.lost_connection = count  # type: ignore[method-assign]

    def _watch_for(self, seconds: float) -> None:
        """Let time pass, in which nobody honest who has heard of the bans has a link with a banned member."""
        end = self.network.clock.now + seconds
        while self.network.clock.now < end:
            self.network.run_for(LOOK_AT_BANNED_EVERY_SECONDS)
            self._look()

    def _until_cut(self, members: Iterable[SimulatedNode], victim: SimulatedNode) -> None:
        members, began = list(members), self.network.clock.now
        # in steps, since no event tells that a ban has reached the last one
        end = began + EXPELLED_WITHIN_SECONDS
        while self._linked(members, victim.name):
            if self.network.clock.now >= end:
                still = self._linked(members, victim.name)[0]
                raise InvariantBroken(
                    f"banned_are_cut: {still} has a link with {victim} after {EXPELLED_WITHIN_SECONDS:g} s"
                )
            self.network.run_for(LOOK_EVERY_SECONDS)
        self._cut_after.append(self.network.clock.now - began)

    def _until_all_have_heard(self, members: list[SimulatedNode]) -> None:
        """Each must have heard of all bans soon after it has a link with an honest member that has."""
        network, informed = self.network, {each.name for each in self._honest() if each not in members}
        since: dict[Name, float] = {}
        end = network.clock.now + AGREE_WITHIN_SECONDS
        wanted = _held(self.admin)
        waiting = list(members)
        while waiting and network.clock.now < end:
            network.run_for(LOOK_EVERY_SECONDS)
            for node in list(waiting):
                core = node.core
                peers = () if core is None else core.links.peers
                # before that it had nobody to hear of the bans from
                if node.name not in since and any(each.name in informed for each in peers):
                    since[node.name] = network.clock.now
                if _held(node) == wanted:
                    waiting.remove(node)
                    informed.add(node.name)
                    self._heard_after.append(network.clock.now - since.get(node.name, network.clock.now))
                elif network.clock.now - since.get(node.name, network.clock.now) > EXPELLED_WITHIN_SECONDS:
                    raise InvariantBroken(f"returning_refuse: {node} has not heard of all bans")

    def _linked(self, members: Iterable[SimulatedNode], name: Name) -> list[SimulatedNode]:
        return [each for each in members if each.core is not None and each.core.links.peer(name) is not None]

    def _look(self) -> None:
        honest = self._honest()
        for name in self._banned:
            # nobody can refuse for a ban that was not heard of
            linked = self._linked(honest, name)
            knowing = [each for each in linked if each.joined and _held(each) == _held(self.admin)]
            if knowing:
                raise InvariantBroken(f"banned_are_cut: {knowing[0]} has a link with {self._banned[name]}")
        if self._wrongly:
            raise InvariantBroken(f"nobody_else_is_cut: {self._wrongly[0]}")


def play_bans(plan: BanPlan) -> BanResult:
    """Play a plan. Nothing that goes wrong is raised: it is in the result."""
    gc.collect()  # a network that was played before is of many objects that know each other
    run = BanRun(plan)
    problem = ""
    try:
        run.run()
    except Exception as error:  # whatever it is, it is what this seed has found
        problem = f"{type(error).__name__}: {error}"
    return BanResult(plan, problem, run.network.trace.hash(), run.figures)


def _take_nothing(statements: object, came_by: object = None) -> int:
    """What a hostile member makes of statements."""
    return 0


def _held(node: SimulatedNode) -> bytes:
    assert node.membership is not None
    return node.membership.roster.digest


def _lying(roster: Roster, digest: bytes) -> Roster:
    """A roster that says that it holds something else."""
    lying = Roster(roster.network, roster.statements)
    lying.digest = digest
    return lying
