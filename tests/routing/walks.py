"""
How many files of C{routing/} what happens leads through: C{python -m tests.routing.walks [-v]}.

A network of real nodes is simulated, and C{sys.setprofile} sees every call from the moment that a frame of
the wanted kind comes from crust, or that an application calls the service, until that call returns. What is
called in a later turn does not count. Counted are the files of C{routing/} in which a function ran, also a
property or a generator, and the moves: calls from one of these files into another, with or without crust, the
wire or the simulation between them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any, Final
from unittest import mock

import routing_crust.routing
from routing_crust.routing.core import RoutingCore
from routing_crust.routing.service import RoutingService
from routing_crust.testing.simulation import SimulatedNetwork
from routing_crust.wire.codec import decode
from routing_crust.wire.framing import FrameKind
from routing_crust.wire.messages import Envelope, EnvelopeKind

FOLDER: Final = str(Path(routing_crust.routing.__file__).parent) + "/"
NODES: Final = 40


class Walk:
    """
    One of the things that happen.

    @ivar files: for each time the files, with the functions that ran in each.
    @ivar moves: for each time how many.
    """

    def __init__(self) -> None:
        self.files: list[dict[str, set[str]]] = []
        self.moves: list[int] = []

    @contextmanager
    def traced(self) -> Iterator[None]:
        """What runs within is one time."""
        files: dict[str, set[str]] = {}
        moves = 0

        def see(frame: FrameType, event: str, argument: object) -> None:
            nonlocal moves
            name = frame.f_code.co_filename
            if event != "call" or not name.startswith(FOLDER):
                return
            files.setdefault(name.removeprefix(FOLDER), set()).add(frame.f_code.co_name)
            caller = frame.f_back
            while caller is not None and not caller.f_code.co_filename.startswith(FOLDER):
                caller = caller.f_back
            moves += caller is not None and caller.f_code.co_filename != name

        sys.setprofile(see)
        try:
            yield
        finally:
            sys.setprofile(None)
        self.files.append(files)
        self.moves.append(moves)


def walks() -> dict[str, Walk]:
    """Let nodes join, and each send a message to a node that it has no link with; see what happens."""
    found = {each: Walk() for each in ("ConnectRequest", "acknowledgement", "message sent")}
    new_message, send = RoutingCore.new_message, RoutingService.send

    def received(core: RoutingCore, link: Any, kind: int, payload: bytes) -> None:
        name = _name(core, kind, payload)
        if name is None:
            new_message(core, link, kind, payload)
        else:
            with found[name].traced():
                new_message(core, link, kind, payload)

    def sent(service: RoutingService, name: Any, body: bytes) -> Any:
        with found["message sent"].traced():
            return send(service, name, body)

    with mock.patch.object(RoutingCore, "new_message", received):
        network = SimulatedNetwork(1)
        nodes = network.nodes(NODES)
        network.run_until(network.joined)
        network.run_for(5)
        with mock.patch.object(RoutingService, "send", sent):
            for one in nodes:
                far = [each for each in nodes if each is not one and each.name not in _linked(one)]
                if far:
                    # the second has a session with the first when it sends
                    for _ in range(2):
                        network.result_of(one.service.send(far[0].name, b"traced"))
    return found


def _linked(node: Any) -> set[object]:
    return {each.peer for each in node.crust.links}


def _name(core: RoutingCore, kind: int, payload: bytes) -> str | None:
    if kind == FrameKind.CONFIRMATION_ACK:
        return "acknowledgement"
    if kind != FrameKind.ENVELOPE:
        return None
    envelope = decode(Envelope, payload)
    ours = envelope.destination == core.node.name.raw and envelope.kind is EnvelopeKind.CONNECT_REQUEST
    return "ConnectRequest" if ours else None


def main(is_verbose: bool) -> None:
    """Print the figures, and with C{-v} the files."""
    for name, walk in walks().items():
        sizes = [len(each) for each in walk.files]
        print(
            f"{name}: {len(sizes)} times, {median(sizes):g} files (at most {max(sizes)}), "
            f"{median(walk.moves):g} moves (at most {max(walk.moves)})"
        )
        if is_verbose:
            times = Counter(file for each in walk.files for file in each)
            for file, count in times.most_common():
                functions = Counter(f for each in walk.files for f in each.get(file, ()))
                print(f"  {count:4} {file}: {', '.join(functions)}")


if __name__ == "__main__":
    main("-v" in sys.argv[1:])
