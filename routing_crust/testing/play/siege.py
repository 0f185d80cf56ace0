"""
A siege: hostile hosts flood a network from a seed, each with a mix of behaviours, while honest nodes join,
dial and talk. But for members that lie or crowd, none of the hostile ones has standing, so nobody honest may
be kept waiting.

The checks, beside those of L{Invariants}:

  - C{newcomers_join}: a newcomer whose contacts are nodes under attack, and a hostile one, is in the network
    after L{KEPT_OUT_SECONDS}.
  - C{dials_succeed}: two honest nodes without a link have one L{KEPT_OUT_SECONDS} after one has asked.
  - C{messages_arrive}: what honest nodes send each other is acknowledged.
  - C{answers_are_true}: a lookup of a close group is answered, and with no name that nobody has.
  - C{groups_are_mixed}: no close group has more than a quarter from one /24.
  - C{members_only}: in a private network no honest node has a link with a hostile host.
  - C{nothing_is_left}: when the hostile ones are gone, no node holds anything of theirs.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...names import Name
from ...trust.codec import encode_certificate
from ..host import SimulatedNode
from ..private import Founder
from ..simulation import SimulatedNetwork
from .invariants import InvariantBroken, Invariants
from .raid import Raid
from .raider import Raider
from .raids_of_frames import FRAME_RAIDS
from .raids_of_links import LINK_RAIDS
from .scenario import JOIN_WITHIN_SECONDS, SEND_DEADLINE_SECONDS

RAIDS: Final = (*LINK_RAIDS, *FRAME_RAIDS)
KEPT_OUT_SECONDS: Final = 5.0
"""Seconds that no host without standing may keep an honest node from joining, dialling or being dialled."""
HOSTILE_SHARE: Final = 0.2
QUARTER: Final = 4
LONG_EXPIRED_SECONDS: Final = 200 * 86_400
UNDER_ATTACK: Final = 4
"""Nodes that the hostile ones aim at."""
RAIDS_OF_EACH: Final = 3
"""Behaviours that one hostile host mixes."""
WARM_UP_SECONDS: Final = 10.0
"""Seconds for which floods last before anybody honest is measured."""
NEWCOMER_EVERY_SECONDS: Final = 4.0
NEWCOMER_STAYS_SECONDS: Final = 12.0
DIAL_EVERY_SECONDS: Final = 1.0
TALK_EVERY_SECONDS: Final = 0.5
ASK_EVERY_SECONDS: Final = 2.0
CALM_AFTER_SECONDS: Final = 100.0
"""Seconds after the last hostile act in which all that it has left behind is gone."""


@dataclass(frozen=True, slots=True)
class SiegePlan:
    """
    What to play.

    @ivar seed: what everything is drawn from.
    @ivar nodes: how many hosts there are, hostile ones included.
    @ivar minutes: for how long the siege lasts.
    @ivar raids: the behaviours to play, by their titles; C{None} draws a mix for each hostile host.
    @ivar private: whether the network is private. Then hostile hosts have no certificate of it, or one that
        has expired, is of a banned member or of another network.
    """

    seed: int
    nodes: int = 40
    minutes: float = 1.0
    raids: tuple[str, ...] | None = None
    private: bool = False


@dataclass(frozen=True, slots=True)
class SiegeResult:
    """
    The outcome of a L{SiegePlan}.

    @ivar mix: the behaviours that were played, in words.
    @ivar problem: what did not hold; empty if all did.
    @ivar trace: the hash of all that happened.
    @ivar figures: numbers about it, by name.
    """

    plan: SiegePlan
    mix: str
    problem: str
    trace: str
    figures: dict[str, float]


@dataclass(slots=True)
class _Wait:
    """Somebody honest waits for something."""

    what: str
    since: float
    check: str
    over: float | None = None
    problem: str = ""


class Siege:
    """One run of a L{SiegePlan}."""

    def __init__(self, plan: SiegePlan, keep_trace: bool = False) -> None:
        self.plan = plan
        self.network = SimulatedNetwork(plan.seed, keep_trace=keep_trace, internet=True, private=plan.private)
        self.invariants = Invariants(self.network)
        self.figures: dict[str, float] = {}
        self.raids: list[Raid] = []
        self._raiders: list[Raider] = []
        self._random = Random(f"siege of {plan.seed}")
        self._waits: list[_Wait] = []
        self._going_on = False
        self._first: list[SimulatedNode] = []
        self._targets: list[SimulatedNode] = []
        self._leaving: set[SimulatedNode] = set()
        self._honest: list[SimulatedNode] = []

    @property
    def mix(self) -> str:
        """The behaviours that are played, in words."""
        return ", ".join(sorted({each.title() for each in self.raids}))

    def run(self) -> None:
        """
        Play it.

        @raise InvariantBroken: something did not hold that must.
        @raise SimulationStuck: something did not come about in its time.
        """
        self.grow()
        self.besiege()
        self.relieve()
        self.finish()

    def grow(self) -> None:
        """The honest nodes join, before there is anybody hostile."""
        network = self.network
        hostile = max(1, round(self.plan.nodes * HOSTILE_SHARE))
        for _ in range(self.plan.nodes - hostile):
            self._first.append(network.node(setup=self.invariants.watch))
            network.run_for(self._random.random() * 0.3)
        self._honest += self._first
        network.run_until(network.joined, JOIN_WITHIN_SECONDS, every=0.5)
        targets = self._random.sample(self._first, min(UNDER_ATTACK, len(self._first) // 2))
        self._targets = targets
        for _ in range(hostile):
            self._add_raider(targets)

    def _add_raider(self, targets: Sequence[SimulatedNode]) -> None:
        by_title = {each.title(): each for each in RAIDS}
        names = self.plan.raids
        kinds = (
            self._random.sample(RAIDS, RAIDS_OF_EACH) if names is None else [by_title[each] for each in names]
        )
        raider = Raider(self.network, max((each.addresses for each in kinds), default=1))
        if self.network.founder is not None:
            raider.certificate = self._worthless(self.network.founder, raider)
        self._raiders.append(raider)
        others = [each for each in self._first if each not in targets]
        for kind in kinds:
            # each begins with another one, so that no target has all floods at once
            mine = list(targets)
            self._random.shuffle(mine)
            self.raids.append(kind(raider, mine, others))

    def _worthless(self, founder: Founder, raider: Raider) -> bytes:
        """A certificate that lets nobody in; empty is none."""
        raider.fixed_key = key = self.network.new_identity()
        now = self.network.clock.seconds()
        kind = self._random.choice(("none", "expired", "banned", "foreign"))
        if kind == "none":
            return b""
        if kind == "foreign":
            founder = Founder(self.network.new_identity(), self.network.clock.seconds)
        since = now - LONG_EXPIRED_SECONDS if kind == "expired" else None
        membership = founder.membership(key, since=since)
        if kind == "banned":
            core = self._first[0].core
            assert core is not None
            assert core.private is not None
            roster = core.private.members.roster
            core.private.add_statements([founder.issuer().ban(key.name, roster, now)])
        return encode_certificate(membership.certificate)

    # While it lasts.

    def besiege(self) -> None:
        """The hostile hosts act, while honest nodes join, dial and talk."""
        network = self.network
        for each in self.raids:
            # not in one moment, which no real flood would hit
            network.clock.callLater(self._random.random() * 2, each.begin)
        network.run_for(WARM_UP_SECONDS)
        self._going_on = True
        self._newcomer()
        self._dial()
        self._talk()
        self._ask()
        network.run_for(self.plan.minutes * 60)
        self._look_at_groups()
        if self.plan.private:
            self._look_for_strangers()
        self._going_on = False
        network.run_for(KEPT_OUT_SECONDS + 0.001)
        self._judge()

    def _again(self, seconds: float, what: Any) -> bool:
        if self._going_on:
            self.network.clock.callLater(seconds, what)
        return self._going_on

    def _newcomer(self) -> None:
        """A new node, which knows one or two nodes under attack, and a hostile one that lets it in."""
        if not self._again(NEWCOMER_EVERY_SECONDS, self._newcomer):
            return
        known = self._random.sample(self._targets, min(2, len(self._targets)))
        contacts = [each.contact for each in known if each.contact is not None]
        traps = [each.contact for each in self.raids if each.contact is not None]
        # a contact that lets in and leads nowhere must cost no more than its turn
        contacts += self._random.sample(traps, min(1, len(traps)))
        self._random.shuffle(contacts)
        node = self.network.node(setup=self.invariants.watch, contacts=tuple(contacts))
        self._honest.append(node)
        self._wait("newcomers_join", f"{node} with {len(contacts)} contacts", node.service.when_connected())
        self._wait("newcomers_settle", f"{node}", node.service.when_group_connected())
        # a dial to a node that goes meanwhile says nothing of the siege
        self.network.clock.callLater(NEWCOMER_STAYS_SECONDS - KEPT_OUT_SECONDS - 1, self._leaving.add, node)
        self.network.clock.callLater(NEWCOMER_STAYS_SECONDS, node.stop)

    def _dial(self) -> None:
        """Two honest nodes that have no link want one."""
        if not self._again(DIAL_EVERY_SECONDS, self._dial):
            return
        pairs = [
            pair
            for node in self._honest
            if node.running and node.core is not None and node.joined and node not in self._leaving
            for other in self._targets + self._first
            if other is not node and node.core.links.link_to(other.name) is None
            for pair in ((node, other), (other, node))
        ]
        if pairs:
            one, other = self._random.choice(pairs)
            self._wait("dials_succeed", f"{one} to {other}", one.service.connect(other.name))

    def _talk(self) -> None:
        if not self._again(TALK_EVERY_SECONDS, self._talk):
            return
        one, other = self._random.sample(self._first, 2)
        body = self._random.randbytes(self._random.choice((0, 300, 30_000)))
        sent = one.service.send(other.name, body)
        self._wait("messages_arrive", f"{one} to {other}", sent)

    def _ask(self) -> None:
        """An honest node looks up the close group of a name."""
        if not self._again(ASK_EVERY_SECONDS, self._ask):
            return
        one, name = self._random.choice(self._first), Name(self._random.randbytes(32))
        answered = one.service.close_group(name)
        answered.addCallback(self._heard_of, one)
        self._wait("answers_are_true", f"{one}", answered)

    def _heard_of(self, names: tuple[Name, ...], by: SimulatedNode) -> None:
        known = {node.name for node in self.network}
        # a hostile key that has standing nowhere counts as invented, too
        invented = [each for each in names if each not in known]
        if invented or not names:
            what = f"{len(invented)} of {len(names)} names that {by} was told are invented"
            raise InvariantBroken(what)

    def _look_at_groups(self) -> None:
        networks = {node.name: node.endpoint.prefix for node in self.network}
        for node in self._first:
            if node.core is None:
                continue
            group = node.core.neighbourhood.close_group(node.name)
            counts = Counter(networks.get(each, "nowhere") for each in group)
            where, most = counts.most_common(1)[0]
            if most > max(1, node.settings.group_size // QUARTER):
                what = f"{most} of {len(group)} of the close group of {node} are in {where}"
                raise InvariantBroken(f"groups_are_mixed: {what}; against {self.mix}")

    def _look_for_strangers(self) -> None:
        members = {node.name for node in self.network}
        for node in self._first:
            peers = () if node.core is None else node.core.links.peers
            strangers = [peer for peer in peers if peer.name not in members]
            if strangers:
                raise InvariantBroken(f"members_only: {node} has a link with {strangers[0].name.short}")

    def _wait(self, check: str, what: str, deferred: Deferred[Any]) -> None:
        wait = _Wait(what, self.network.clock.now, check)
        self._waits.append(wait)

        def over(result: object) -> None:
            wait.over = self.network.clock.now
            if isinstance(result, Failure):
                wait.problem = f"{type(result.value).__name__}: {result.value}"

        deferred.addBoth(over)

    def _judge(self) -> None:
        """Was anybody kept waiting?"""
        now = self.network.clock.now
        bounds = {
            "newcomers_join": KEPT_OUT_SECONDS,
            "dials_succeed": KEPT_OUT_SECONDS,
            "messages_arrive": SEND_DEADLINE_SECONDS,
            "answers_are_true": SEND_DEADLINE_SECONDS,
        }
        for check in (*bounds, "newcomers_settle"):
            waits = [(each.over or now) - each.since for each in self._waits if each.check == check]
            self.figures[f"{check.replace('_', ' ')}: number"] = float(len(waits))
            self.figures[f"{check.replace('_', ' ')}: slowest"] = max(waits, default=0.0)
        for each in self._waits:
            if each.check not in bounds:
                continue
            took = (each.over or now) - each.since
            if took > bounds[each.check]:
                how = f"{'took' if each.over else 'has waited'} {took:.1f} s {each.problem}".strip()
            elif each.problem:
                how = each.problem
            else:
                continue
            raise InvariantBroken(f"{each.check}: {each.what}: {how}; against {self.mix}")

    # Afterwards.

    def relieve(self) -> None:
        """The hostile hosts lose their power; what they have left behind goes."""
        for each in self.raids:
            each.end()
        for raider in self._raiders:
            raider.stop()
        self.network.run_for(CALM_AFTER_SECONDS)
        names = {node.name for node in self.network}
        for node in self.network.alive:
            core = node.core
            if core is None:
                continue
            strangers = [peer.name.short for peer in core.links.peers if peer.name not in names]
            left = {
                "links to strangers": len(strangers),
                "expected connections": len(core.attempts.expected),
            }
            kept = {what: count for what, count in left.items() if count}
            if kept:
                raise InvariantBroken(f"nothing_is_left: {node} still has {kept}; after {self.mix}")

    def finish(self) -> None:
        """Stop; nothing may be left."""
        cores = [(node, node.core) for node in self.network if node.running]
        self.network.stop()
        for node, core in cores:
            self.invariants.nothing_is_left(node, core)
        self.invariants.close()


def play_siege(plan: SiegePlan) -> SiegeResult:
    """Play a plan. Nothing that goes wrong is raised: it is in the result."""
    gc.collect()  # a network that was played before is of many objects that know each other
    siege = Siege(plan)
    problem = ""
    try:
        siege.run()
    except Exception as error:  # whatever it is, it is what this seed has found
        problem = f"{type(error).__name__}: {error}"
        siege.invariants.abandon()
    return SiegeResult(plan, siege.mix, problem, siege.network.trace.hash(), siege.figures)
