"""Contacts by host name and by domain, with a real name server, dnsmasq, of another host."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..daemon.children import Child
from .test_proxies import OUTSIDE, ProxyLabTestCase

PORT = 5483


class ContactsByNameTests(ProxyLabTestCase):
    program = "dnsmasq"

    def setUp(self) -> None:
        super().setUp()
        # ip netns exec shows the programs of a namespace these files in the place of the system's
        files = Path("/etc/netns", self.name_of("one"))
        files.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, files)
        (files / "resolv.conf").write_text(f"nameserver {OUTSIDE}\n")

    async def serve_names(self, *records: str) -> None:
        """Start the name server, which knows these records of example.org and asks nobody else."""
        alone = ("--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root")
        place = (f"--listen-address={OUTSIDE}", "--bind-interfaces", "--local=/example.org/")
        server = self.spawn_on(
            "outside", "dnsmasq", "--no-daemon", "--log-facility=-", *alone, *place, *records
        )
        await server.wait_for("started")

    def inside(self, contact: str) -> Child:
        return self.node("one", config=f'contacts = ["{contact}"]\nrole = "client"\n')

    async def test_host_name_and_domain_lead_to_a_node(self) -> None:
        """Of the domain's two hosts the one that is dialled first has no address."""
        name = await self.first(f"{OUTSIDE}:{PORT}")
        service = "_routing-crust._tcp.example.org"
        await self.serve_names(
            f"--host-record=home.example.org,{OUTSIDE}",
            f"--srv-host={service},gone.example.org,{PORT},10",
            f"--srv-host={service},home.example.org,{PORT},20",
            f"--txt-record={service},{name}@home.example.org:{PORT}",
        )
        for contact in (f"home.example.org:{PORT}", f"{name}@home.example.org:{PORT}", "dns:example.org"):
            node = self.inside(contact)
            await node.wait_for("connected .was bootstrapping")

    async def test_name_that_is_unknown_and_a_server_that_is_off_are_told_apart(self) -> None:
        lost = f"nowhere.example.org:{PORT}"
        node = self.inside(lost)
        await node.wait_for(
            f"the contact {lost} has no address: nowhere.example.org: no name server answers "
            rf"\({OUTSIDE} .*\); it is tried again"
        )
        await self.serve_names()
        node = self.inside(lost)
        await node.wait_for(
            f"the contact {lost} has no address: nowhere.example.org: the name server {OUTSIDE} does not "
            "know this name; it is tried again"
        )
