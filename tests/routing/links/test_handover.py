"""What must hold of a handover in every order."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from routing_crust.endpoints import PathKind

from .handover_world import World, WorldTests

PATH_KINDS = (PathKind.TUNNEL, PathKind.PUNCHED, PathKind.DIRECT, PathKind.MAPPED)


step = st.tuples(st.integers(0, 15), st.integers(0, 255))


def play(world: World, steps: list[tuple[int, int]], cuts: bool) -> None:
    for what, which in steps:
        if what == 0 and len(world.wires) < 6:
            world.dial(which & 1, PATH_KINDS[which >> 1 & 3])
        elif what == 1 and cuts and world.wires:
            world.cut(world.wires[which % len(world.wires)], which >> 4)
        elif what == 2 and cuts:
            world.clock.advance(which / 10)
        elif what in (3, 4, 5):
            end = world.ends[which & 1]
            if end.peer is not None:
                links = [end.peer.link, end.peer.link, *end.old]
                end.send(links[(which >> 1) % len(links)])
        else:
            ready = world.ready()
            if ready:
                world.deliver(ready[which % len(ready)])


class EveryOrderTests(WorldTests):
    """What must hold in every order."""

    @hypothesis_settings(deadline=None, derandomize=True, max_examples=300)
    @given(st.lists(step, max_size=120))
    def test_no_frame_is_lost_while_no_connection_breaks(self, steps: list[tuple[int, int]]) -> None:
        """As long as no connection breaks there is one session from beginning to end, and all arrives."""
        world = World()
        world.dial(0, PathKind.TUNNEL)
        world.settle()
        play(world, steps, cuts=False)
        world.settle()
        self.check_complete(world)
        self.check_at_rest(world)
        for end in world.ends:
            self.assertEqual(set(end.events[1:]) - {"changed"}, set())

    @hypothesis_settings(deadline=None, derandomize=True, max_examples=300)
    @given(st.lists(step, max_size=120))
    def test_every_loss_is_known_to_both_ends(self, steps: list[tuple[int, int]]) -> None:
        """Connections break, and time passes: no frame is reordered, and both ends know of each loss."""
        world = World()
        world.dial(0, PathKind.TUNNEL)
        world.settle()
        play(world, steps, cuts=True)
        world.settle()
        self.check(world)
        world.pass_time(100)
        self.check_complete(world)
        if world.live():
            self.check_at_rest(world)

    def test_every_loss_is_known_in_random_worlds(self) -> None:
        """The mixture of events differs: some worlds are quiet, in others no link lasts."""
        for seed in range(70_000_000, 70_000_300):
            random = Random(seed)
            world = World()
            world.dial(0, random.choice(PATH_KINDS))
            world.settle()
            weights = [random.randrange(3), random.randrange(3), random.randrange(2), 3, 3, 3]
            weights.append(random.randrange(1, 12))
            steps = [
                (random.choices(range(7), weights)[0], random.randrange(256))
                for _ in range(random.randrange(20, 300))
            ]
            play(world, steps, cuts=True)
            world.settle()
            self.check(world)
            world.pass_time(100)
            self.check_complete(world)
            if world.live():
                self.check_at_rest(world)
