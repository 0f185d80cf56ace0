"""Nodes behind symmetric NATs with one public node: every pair opens a stream, all at once."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet import reactor as _reactor
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread

from routing_crust.daemon.control.session_messages import OpenCommand, OpenedReply

from .node import PORT, LabNode, LabTestCase
from .router import Nat, Router

reactor: Any = _reactor
HOSTS: Final = ("ann", "ben", "cat", "dan", "eve", "fay")
PROGRAM_PORT: Final = 8080


class FleetTests(LabTestCase):
    async def test_every_pair_opens_a_stream_through_the_only_node_that_can_be_dialled(self) -> None:
        """Each node needs a tunnel to each other one, whatever tunnels the routing tables have."""
        lab = self.build({host: Router(Nat.SYMMETRIC) for host in HOSTS}, delay=0.010)
        first = await self.start_first(lab)
        nodes: list[LabNode] = []
        for host in HOSTS:
            program = lab.socket(host)
            self.addCleanup(program.close)
            # its backlog is program enough: a stream is accepted once its connection is there
            program.bind(("127.0.0.1", PROGRAM_PORT))
            program.listen(len(HOSTS))
            nodes.append(
                await self.start_node(
                    lab,
                    host,
                    f"--contact={first.contact(lab.rendezvous[0])}",
                    f"--listen=0.0.0.0:{PORT}",
                    f"--expose=program=tcp:127.0.0.1:{PROGRAM_PORT}",
                    "--allow-peer=program=*",
                )
            )
        for node in nodes:
            # a link that is about to be replaced takes the tunnels over it along
            await node.wait_for(r" linked with all neighbours$")
        pairs = [(one, other) for one in nodes for other in nodes if one is not other]
        before = reactor.getThreadPool().max
        reactor.suggestThreadPoolSize(len(pairs))
        self.addCleanup(reactor.suggestThreadPoolSize, before)
        opened = [deferToThread(one._ask, self.program_of(other), OpenedReply) for one, other in pairs]
        await gatherResults(opened, consumeErrors=True)
        for node in nodes:
            kinds = await node.path_kinds()
            self.assertEqual({kinds[each.name] for each in nodes if each is not node}, {"tunnel"})

    @staticmethod
    def program_of(node: LabNode) -> OpenCommand:
        return OpenCommand(name=node.name, protocol="program")
