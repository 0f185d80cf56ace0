"""Both ends of the links between two nodes, each with its consolidation."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from routing_crust.config import Settings, TwoWay
from routing_crust.endpoints import PathKind
from routing_crust.errors import CloseReason
from routing_crust.routing.links.consolidation import Consolidation
from routing_crust.routing.links.decisions import (
    Action,
    CandidateLink,
    Close,
    Doubt,
    SendAck,
    SendConfirmation,
)
from routing_crust.wire.messages import Confirmation, LinkUse

SMALL, GREAT = 0, 1  # the two ends; the one with the smaller name decides


@dataclass(eq=False)
class Wire:
    """
    One link: its dialler, use and asker, and what is on its way in each direction. When it is mute, nothing
    passes, and neither end is told.
    """

    number: int
    dialler: int
    use: LinkUse
    asker: int
    path_kind: PathKind = PathKind.DIRECT
    both_ways: bool = True
    dead: bool = False
    mute: bool = False
    to: tuple[deque[object], deque[object]] = field(default_factory=lambda: (deque(), deque()))
    gone: list[bool] = field(default_factory=lambda: [False, False])
    verified: list[bool] = field(default_factory=lambda: [False, False])

    def __hash__(self) -> int:
        return self.number


class World:
    """Both ends, joined by wires."""

    def __init__(self, two_way: TwoWay = TwoWay.PREFERRED) -> None:
        self.settings = Settings(two_way=two_way)
        self.now = 0.0
        self.epoch = 0
        self.ends = [self.end(SMALL), self.end(GREAT)]
        self.wires: list[Wire] = []
        self.closed: list[tuple[int, Wire, CloseReason]] = []
        self.established: list[tuple[int, Wire, LinkUse, bool]] = []
        self.doubted: list[tuple[int, Wire]] = []
        self.silent: set[tuple[int, object]] = set()  # the wires that an end doubts
        self.permitted = LinkUse.ATTACHED
        self.room = True
        self.responses: deque[tuple[int, LinkUse]] = deque()

    def end(self, which: int) -> Consolidation:
        return Consolidation(
            self.settings,
            arbiter=which == SMALL,
            incarnation=1,
            next_epoch=self.next_epoch,
            is_doubted=lambda wire: (which, wire) in self.silent,
        )

    def next_epoch(self) -> int:
        self.epoch += 1
        return self.epoch

    def dial(
        self,
        dialler: int,
        use: LinkUse,
        asker: int,
        path_kind: PathKind = PathKind.DIRECT,
        both_ways: bool = True,
    ) -> Wire:
        wire = Wire(len(self.wires), dialler, use, asker, path_kind, both_ways)
        wire.to[1 - dialler].append("hello")
        self.wires.append(wire)
        return wire

    def ask(self, asker: int, use: LinkUse) -> None:
        """One end asks, and the other accepts at once; its response is on its way."""
        self.permitted = max(self.permitted, use)
        self.responses.append((asker, use))
        self.do(1 - asker, self.ends[1 - asker].agree(use, self.now))

    def permitted_use(self) -> LinkUse:
        return self.permitted if self.room else LinkUse.DIRECT

    def respond(self) -> None:
        """The oldest response arrives."""
        asker, use = self.responses.popleft()
        self.do(asker, self.ends[asker].agree(use, self.now))

    def deliver(self, wire: Wire, end: int) -> None:
        frame = wire.to[end].popleft()
        if wire.gone[end] or wire.mute:
            return
        self.silent.discard((end, wire))
        if frame == "hello":
            wire.verified[end] = True
            if end != wire.dialler:
                wire.to[wire.dialler].append("hello")
            # where both have dialled, each end says so
            we_dialled = wire.dialler == end or wire.path_kind is PathKind.PUNCHED
            candidate = CandidateLink(
                wire, we_dialled, wire.use, wire.asker == end, self.now, wire.path_kind, wire.both_ways
            )
            self.do(end, self.ends[end].link_up(candidate, 1, self.now))
        elif frame == "gone":
            wire.gone[end] = True
            self.do(end, self.ends[end].link_lost(wire, self.now))
        elif isinstance(frame, Confirmation):
            self.do(end, self.ends[end].confirmation(wire, frame, self.now, self.permitted_use))
        else:
            assert isinstance(frame, SendAck)
            self.do(end, self.ends[end].ack(wire, frame.epoch, self.now, frame.declined))

    def do(self, end: int, actions: list[Action]) -> None:
        for action in actions:
            wire = action.link
            assert isinstance(wire, Wire)
            if isinstance(action, SendConfirmation):
                wire.to[1 - end].append(action.confirmation)
            elif isinstance(action, SendAck):
                wire.to[1 - end].append(action)
            elif isinstance(action, Close):
                self.closed.append((end, wire, action.reason))
                wire.gone[end] = True
                wire.to[1 - end].append("gone")
                self.do(end, self.ends[end].link_lost(wire, self.now))
            elif isinstance(action, Doubt):
                self.doubted.append((end, wire))
            else:
                self.established.append((end, wire, action.use, action.two_way))

    def cut(self, wire: Wire) -> None:
        """The network loses a link: each end notices when it does."""
        if not wire.dead:
            wire.dead = True
            for queue in wire.to:
                queue.append("gone")

    def lose(self, wire: Wire, end: int) -> None:
        """One end loses a link, and the other does not hear of it yet."""
        wire.mute = wire.gone[end] = True
        self.do(end, self.ends[end].link_lost(wire, self.now))

    def notice(self) -> None:
        """An end that probes a mute link finds that it is dead."""
        doubted, self.doubted = self.doubted, []
        for end, wire in doubted:
            if wire.mute and not wire.gone[end]:
                wire.gone[end] = True
                self.do(end, self.ends[end].link_lost(wire, self.now))

    def doubt(self, wire: Wire, *ends: int) -> None:
        """These ends owe each other an answer on a wire."""
        for end in ends:
            self.silent.add((end, wire))
            self.do(end, self.ends[end].tick(self.now))

    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(1000):
            due = [(each.wake_at, end) for end, each in enumerate(self.ends) if each.wake_at is not None]
            due = [(max(at, self.now), end) for at, end in due if at <= until]
            if not due:
                self.now = until
                return
            self.now, end = min(due)
            self.do(end, self.ends[end].tick(self.now))
        raise AssertionError("the timers never come to rest")

    def deliver_all(self) -> None:
        while any(queue for wire in self.wires for queue in wire.to):
            for wire in self.wires:
                for end in (SMALL, GREAT):
                    if wire.to[end]:
                        self.deliver(wire, end)

    def settle(self) -> None:
        """All frames arrive, each within a quarter of a second, and every wait ends."""
        for _ in range(100):
            while self.responses:
                self.respond()
            self.deliver_all()
            self.pass_time(0.25)

    def live(self, end: int) -> list[Wire]:
        return [wire for wire in self.wires if wire.verified[end] and not wire.gone[end]]
