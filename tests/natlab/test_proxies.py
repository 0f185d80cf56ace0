"""
Out through a real proxy, from a host whose router lets nothing else out; and in on port 443, which a real
haproxy shares with a web site.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest

from ..daemon.children import Child
from ..daemon.fakes import temporary_directory
from .home import ROUTER, HomeTestCase, run

TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n", "--pidfile=")
SCRIPT = (sys.executable, "-c", "from routing_crust.daemon.cli import main; main()")
OUTSIDE = "5.5.5.1"
SECRET = "s3cr3t"
PROXY_PORT = 3128
_TINYPROXY = f"""
Port {PROXY_PORT}
Listen {ROUTER}
Timeout 600
BasicAuth me {SECRET}
LogLevel Info
"""
_WEB = """
import http.server, ssl, sys
server = http.server.HTTPServer(("127.0.0.1", 8443), http.server.SimpleHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("serving", flush=True)
server.serve_forever()
"""


class ProxyLabTestCase(HomeTestCase):
    program = ""

    def setUp(self) -> None:
        super().setUp()
        if shutil.which(self.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
            raise SkipTest(f"{self.program} is not installed")

    def node(self, host: str, *options: str, config: str = "") -> Child:
        # the path of a control socket has little room
        folder = temporary_directory(self)
        file = folder / "config.toml"
        file.write_text(f'network = "lab"\nlan_discovery = false\nport_mapping = false\n{config}')
        place = ("--config", str(file), "--state-dir", str(folder))
        return self.spawn_on(host, *TWISTD, "routing-node", *place, *options)

    async def first(self, listen: str) -> str:
        """Start the node outside, and return its name."""
        self.outside = self.node("outside", "--role", "first", "--listen", listen)
        return await self.outside.wait_for(r"this is the node (\w+) ")


class OutThroughProxyTests(ProxyLabTestCase):
    program = "tinyproxy"

    def setUp(self) -> None:
        super().setUp()
        # the router hands nothing on: only its proxy leads out
        self.on("router", "sysctl", "-qw", "net.ipv4.ip_forward=0")

    async def start_proxy(self) -> None:
        conf = self.folder / "tinyproxy.conf"
        conf.write_text(_TINYPROXY)
        proxy = self.spawn_on("router", "tinyproxy", "-d", "-c", str(conf))
        await proxy.wait_for("Accepting connections")

    def inside(self, contact: str, password: str = SECRET) -> Child:
        url = f"http://me:{password}@{ROUTER}:{PROXY_PORT}"
        config = f'contacts = ["{contact}"]\nproxy = "{url}"\nrole = "client"\n'
        return self.node("one", config=config)

    async def test_node_behind_a_proxy_joins_and_no_log_has_the_password(self) -> None:
        name = await self.first(f"{OUTSIDE}:5483")
        await self.start_proxy()
        contact = f"{name}@{OUTSIDE}:5483"
        refused = self.inside(contact, password="wrong-secret")
        await refused.wait_for("does not accept the user and password")
        inside = self.inside(contact)
        await inside.wait_for("connected .was bootstrapping")
        for child in (refused, inside):
            self.assertNotIn("wrong-secret", child.out)
            self.assertNotIn(SECRET, child.out)

    async def test_machine_behind_a_proxy_becomes_a_member_and_its_node_joins(self) -> None:
        home, laptop = (temporary_directory(self) / each for each in ("home", "laptop"))
        self.on("outside", *SCRIPT, "init", "home", f"--state-dir={home}")
        outside = self.spawn_on("outside", *TWISTD, "routing-node", f"--state-dir={home}")
        await outside.wait_for(" contact: ")
        at = ("--at", f"{OUTSIDE}:5483", f"--state-dir={home}")
        line = self.on("outside", *SCRIPT, "invite", "laptop", *at)
        await self.start_proxy()
        through = ("env", f"HTTPS_PROXY=http://me:{SECRET}@{ROUTER}:{PROXY_PORT}")
        join = (*through, *SCRIPT, "join", "--proxy=environment", f"--state-dir={laptop}")
        joined = self.on("one", *join, *line.split())
        self.assertIn("you are laptop in home; 1 member is reachable", joined)
        inside = self.spawn_on("one", *through, *TWISTD, "routing-node", f"--state-dir={laptop}")
        await inside.wait_for("connected .was bootstrapping")

    async def test_name_of_a_host_is_resolved_by_the_proxy(self) -> None:
        """This host has no name server, and the proxy's knows the address."""
        name = await self.first(f"{OUTSIDE}:5483")
        # ip netns exec shows the programs of a namespace these files in the place of the system's
        files = Path("/etc/netns", self.name_of("router"))
        files.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, files)
        (files / "hosts").write_text(f"{OUTSIDE} home.example.org\n")
        await self.start_proxy()
        inside = self.inside(f"{name}@home.example.org:5483")
        await inside.wait_for("connected .was bootstrapping")


class OutThroughSocksTests(ProxyLabTestCase):
    program = "microsocks"

    async def test_node_behind_a_socks5_proxy_joins_with_a_login(self) -> None:
        """The host name of the second one is known to the proxy alone."""
        self.on("router", "sysctl", "-qw", "net.ipv4.ip_forward=0")
        name = await self.first(f"{OUTSIDE}:5483")
        files = Path("/etc/netns", self.name_of("router"))
        files.mkdir(parents=True)
        self.addCleanup(shutil.rmtree, files)
        (files / "hosts").write_text(f"{OUTSIDE} home.example.org\n")
        self.spawn_on("router", "microsocks", "-i", ROUTER, "-p", "1080", "-u", "me", "-P", SECRET)
        for kind, host in (("socks5", OUTSIDE), ("socks5h", "home.example.org")):
            url = f"{kind}://me:{SECRET}@{ROUTER}:1080"
            config = f'contacts = ["{name}@{host}:5483"]\nproxy = "{url}"\nrole = "client"\n'
            inside = self.node("one", config=config)
            # the proxy says nothing when it is there: a dial that comes too early is repeated
            await inside.wait_for("connected .was bootstrapping")
            self.assertNotIn(SECRET, inside.out)


class SharedPortCase(ProxyLabTestCase):
    async def both_are_reached(self, started: str, *command: str) -> None:
        """A node and a web site are reached through one port, which this program has."""
        name = await self.first("127.0.0.1:5483")
        pem = self.folder / "web.pem"
        key = self.folder / "web.key"
        subject = ("-subj", "/CN=example.org", "-days", "2")
        kind = ("-newkey", "rsa:2048", "-nodes")
        run("openssl", "req", "-x509", *kind, *subject, "-keyout", str(key), "-out", str(pem))
        pem.write_text(key.read_text() + pem.read_text())
        site = self.folder / "site"
        site.mkdir()
        (site / "index.html").write_text("the web site\n")
        program = f"import os; os.chdir({str(site)!r})\n{_WEB}"
        web = self.spawn_on("outside", sys.executable, "-c", program, str(pem))
        await web.wait_for("serving")
        shared = self.spawn_on("outside", *command)
        await shared.wait_for(started)
        inside = self.node("one", config=f'contacts = ["{name}@{OUTSIDE}:443"]\n')
        await inside.wait_for("connected .was bootstrapping")
        self.assertEqual(self.on("one", "curl", "-sk", f"https://{OUTSIDE}/"), "the web site\n")


class HaproxyTests(SharedPortCase):
    program = "haproxy"

    async def test_node_and_web_site_share_port_443(self) -> None:
        await self.both_are_reached(
            "Using epoll", "haproxy", "-V", "-db", "-f", str(Path(__file__).with_name("haproxy.cfg"))
        )


class NginxTests(SharedPortCase):
    program = "nginx"

    async def test_node_and_web_site_share_port_443(self) -> None:
        module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
        if not module.exists():
            raise SkipTest("nginx has no module for streams")
        config = self.folder / "nginx.conf"
        # one process, which ends with the test, and says what the test waits for
        alone = f"load_module {module};\ndaemon off;\nmaster_process off;\npid nginx.pid;\n"
        log = "error_log /dev/stdout notice;\nevents {}\n"
        config.write_text(alone + log + Path(__file__).with_name("nginx.cfg").read_text())
        command = ("nginx", "-p", str(self.folder), "-e", "stderr", "-c", str(config))
        await self.both_are_reached('using the "epoll" event method', *command)
