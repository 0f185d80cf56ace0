"""
A live daemon whose proxy on the way out is hostile: it gets in by the one contact that the proxy leads to.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase

from routing_crust import Endpoint, Identity, Role, RoutingService, Settings

from . import hostile_proxies as proxies
from .measure import NETWORK, Daemon

reactor: Any = _reactor
MAX_GROWTH_BYTES = 64 * 1024 * 1024
"""Of the memory of a daemon that joins; an answer without an end would take four times as much."""
HOSTILE = (
    proxies.says_nothing,
    proxies.hangs_up,
    proxies.wants_a_login,
    proxies.sends_garbage,
    proxies.answers_without_an_end,
    proxies.floods_the_connection,
    proxies.begins_a_record,
    proxies.echoes,
)


class WayOutTests(TestCase):
    timeout = 240

    async def node(self) -> RoutingService:
        """An honest node that starts a network."""
        settings = Settings(
            network=NETWORK, role=Role.FIRST, listen=(Endpoint("127.0.0.1", 0),), lan_discovery=False
        )
        node = RoutingService(settings, identity=Identity.generate())
        node.startService()
        self.addCleanup(node.stopService)
        return node

    async def play(self, kind: str) -> None:
        honest, other = await self.node(), await self.node()
        port, others = (each.endpoints[0].port for each in (honest, other))
        acts = {f"5.5.5.{number}": act for number, act in enumerate(HOSTILE, 1)}
        # to an impostor, and back to where it came from
        acts["5.5.5.20"] = lambda session: session.lead_to(others)
        acts["5.5.5.99"] = lambda session: session.lead_to(port)
        proxy = proxies.HostileProxy(acts)
        listening = reactor.listenTCP(0, proxy, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        folder = Path(tempfile.mkdtemp(prefix="rc-way-out-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, folder)
        contacts = [f"{host}:5483" for host in acts if host not in ("5.5.5.20", "5.5.5.99")]
        # the honest one comes last: all the others have their turn
        contacts += [f"{honest.node_name}@5.5.5.{number}:5483" for number in (20, 99)]
        daemon = Daemon(
            folder / "state",
            NETWORK,
            "--listen=127.0.0.1:0",
            f"--proxy={kind}://127.0.0.1:{listening.getHost().port}",
            *(f"--contact={each}" for each in contacts),
        )
        self.addCleanup(daemon.kill)
        await daemon.started
        memory = daemon.memory()
        await daemon.said(f"{honest.node_name} at ")
        self.assertLess(daemon.memory() - memory, MAX_GROWTH_BYTES)
        self.assertEqual([each for each in daemon.lines if "Traceback" in each or "Unhandled" in each], [])
        self.assertNotIn(str(other.node_name), "".join(daemon.lines))
        # those that were not done when the way in was found were called off
        for each in acts:
            if each != "5.5.5.99":
                await proxy.over[each]

    async def test_hostile_proxy_for_http_leads_a_daemon_nowhere_else(self) -> None:
        await self.play("http")

    async def test_hostile_proxy_for_socks_leads_a_daemon_nowhere_else(self) -> None:
        await self.play("socks5")
