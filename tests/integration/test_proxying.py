"""C{curl} through the proxy of a daemon, by SOCKS5 and by HTTP, to a web server behind another one."""

from __future__ import annotations

from twisted.trial.unittest import SkipTest

from tests.integration.programs import free_port, missing
from tests.integration.test_daemons import asynchronous, here
from tests.integration.test_forwarding import TwoDaemonsCase

PAGE = b"hello through the proxy\n"


class CurlTests(TwoDaemonsCase):
    async def curl(self, *words: str) -> tuple[bytes, int]:
        return await self.output("curl", "--silent", "--show-error", "--max-time", "120", *words)

    @asynchronous
    async def test_curl_reaches_a_peer_by_its_nickname_and_nothing_else(self) -> None:
        if gone := missing({"curl": "curl"}):
            raise SkipTest(gone)
        folder = self.folder / "www"
        folder.mkdir()
        (folder / "index.html").write_bytes(PAGE)
        web, proxy = free_port(), free_port()
        await self.web(folder, f"tcp:{web}:interface=127.0.0.1")
        self.server = self.start(
            "server",
            "--first",
            f"--listen={here()}",
            f"--expose=web=tcp:127.0.0.1:{web}",
            "--allow-peer=web=*",
        )
        await self.until(lambda: self.server.contact)
        self.ports = {}
        client = await self.forwarding("client", f"--local-proxy=tcp:{proxy}")
        await self.until(lambda: client.state == "connected")
        for scheme, more in (("socks5h", ()), ("http", ()), ("http", ("--proxytunnel",))):
            through = ("--proxy", f"{scheme}://127.0.0.1:{proxy}")
            urls = ("http://there.crust/", f"http://web.{self.server.name[:12]}.crust/")
            answers = await self.curl(*through, *more, *urls)
            self.assertEqual(answers, (2 * PAGE, 0), self.last_error)
        _, status = await self.curl("--proxy", f"socks5h://127.0.0.1:{proxy}", "http://example.com/")
        self.assertEqual((status, b"(2)" in self.last_error), (97, True), self.last_error)
        page, _ = await self.curl("--proxy", f"http://127.0.0.1:{proxy}", "http://there.crust:81/")
        self.assertIn(b"502 Bad Gateway", page)
        self.assertEqual((await self.status(client))["local_proxy"], f"127.0.0.1:{proxy}")
        await self.nothing_open(self.server, client)
