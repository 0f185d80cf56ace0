"""Proxies: their texts, and what goes through them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.config import Settings
from routing_crust.endpoints import Endpoint
from routing_crust.errors import ConfigurationError, InvalidEndpoint
from routing_crust.hosts.proxies import NO_PROXY, Proxy, ProxyKind, ProxyRules, is_placeholder, placeholder

SECRET = "s3cr3t"
HTTP = Proxy.from_text(f"http://me:{SECRET}@proxy.example:3128")
OUTSIDE = Endpoint("8.8.8.8", 5483)


class ProxyTests(SynchronousTestCase):
    def test_text_names_the_proxy_and_who_we_are_to_it(self) -> None:
        self.assertEqual(HTTP, Proxy(ProxyKind.HTTP, "proxy.example", 3128, "me", SECRET))
        self.assertEqual(
            Proxy.from_text("SOCKS5H://a%40b:c%3Ad@[2001:db8::1]/"),
            Proxy(ProxyKind.SOCKS5H, "2001:db8::1", 1080, "a@b", "c:d"),
        )
        self.assertEqual(Proxy.from_text(""), NO_PROXY)
        self.assertEqual(Proxy.from_text("environment").kind, ProxyKind.ENVIRONMENT)

    def test_no_text_of_it_has_the_secret(self) -> None:
        settings = Settings(proxy=HTTP)
        for text in (str(HTTP), repr(HTTP), repr(settings)):
            self.assertNotIn(SECRET, text)
            self.assertIn("proxy.example", text)

    def test_errors_say_what_to_write_and_have_no_secret(self) -> None:
        for text, problem in (
            (f"ftp://me:{SECRET}@proxy:1", "write http://"),
            (f"me:{SECRET}@proxy:1", "write http://"),
            (f"https://me:{SECRET}@proxy:1", "TLS to the proxy itself"),
            (f"http://me:{SECRET}@", "write http://"),
            (f"http://me:{SECRET}@proxy:99999", "write http://"),
            (f"http://me:{SECRET}@proxy:port", "write http://"),
            (f"http://me:{SECRET}@proxy:1/path", "write http://"),
            (f"http://me:{SECRET}@pro xy:1", "write http://"),
            (f"http://me:{SECRET}{'x' * 256}@proxy:1", "at most 255"),
            (f"http://me:{SECRET}%0d%0a@proxy:1", "printable"),
            (f"http://:{SECRET}@proxy:1", "needs a user"),
            (f"http://me:{SECRET}@at@[proxy:1", "write http://"),
        ):
            with self.assertRaises(ConfigurationError) as raised:
                Settings.from_text(proxy=text)
            self.assertIn(problem, str(raised.exception))
            self.assertNotIn(SECRET, str(raised.exception))

    @given(st.text(max_size=60))
    def test_any_text_is_a_proxy_or_an_error(self, text: str) -> None:
        for scheme in ("", "http://", "socks5://u:"):
            try:
                proxy = Proxy.from_text(scheme + text)
            except InvalidEndpoint:
                continue
            if proxy.host:
                self.assertTrue(1 <= proxy.port <= 65535)


class RulesTests(SynchronousTestCase):
    def test_environment_is_asked_only_when_that_is_set(self) -> None:
        variables = {"HTTPS_PROXY": "http://one:1", "ALL_PROXY": "socks5://two:2"}
        self.assertEqual(ProxyRules.of(NO_PROXY, variables), ProxyRules())
        self.assertEqual(ProxyRules.of(HTTP, variables).proxy, HTTP)
        asked = Proxy.from_text("environment")
        self.assertEqual(str(ProxyRules.of(asked, variables).proxy), "http://one:1")
        self.assertEqual(str(ProxyRules.of(asked, {"all_proxy": "socks5://two:2"}).proxy), "socks5://two:2")
        self.assertEqual(str(ProxyRules.of(asked, {"https_proxy": "three:3"}).proxy), "http://three:3")
        self.assertEqual(ProxyRules.of(asked, {}), ProxyRules())

    def test_error_names_the_variable_and_has_no_secret(self) -> None:
        with self.assertRaises(InvalidEndpoint) as raised:
            ProxyRules.of(Proxy.from_text("environment"), {"ALL_PROXY": f"gopher://me:{SECRET}@x:1"})
        self.assertIn("ALL_PROXY", str(raised.exception))
        self.assertNotIn(SECRET, str(raised.exception))

    def test_what_is_exempt_is_dialled_directly(self) -> None:
        variables = {"HTTPS_PROXY": "http://one:1", "NO_PROXY": "9.9.9.9, 8.8.0.0/16 ,.example.org,[2600::1]"}
        rules = ProxyRules.of(Proxy.from_text("environment"), variables)
        for host in ("9.9.9.9", "8.8.8.8", "2600::1"):
            self.assertFalse(rules.for_endpoint(Endpoint(host, 1)), host)
        for host in ("9.9.9.8", "8.9.8.8", "2600::2"):
            self.assertTrue(rules.for_endpoint(Endpoint(host, 1)), host)
        self.assertFalse(rules.resolves("home.example.org"))
        self.assertFalse(rules.resolves("example.org"))
        self.assertTrue(rules.resolves("anexample.org"))
        self.assertFalse(ProxyRules(HTTP, ("*",)).for_endpoint(OUTSIDE))

    def test_addresses_of_local_networks_are_dialled_directly(self) -> None:
        rules = ProxyRules(HTTP)
        for host in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "fe80::1%eth0", "fd00::1", "::1"):
            self.assertFalse(rules.for_endpoint(Endpoint(host, 1)), host)
        self.assertTrue(rules.for_endpoint(OUTSIDE))
        self.assertFalse(ProxyRules().for_endpoint(OUTSIDE))

    def test_host_names_are_left_to_proxies_that_resolve_them(self) -> None:
        for kind, resolves in (("http", True), ("socks5h", True), ("socks5", False)):
            self.assertEqual(ProxyRules(Proxy.from_text(f"{kind}://p:1")).resolves("a.example"), resolves)
        self.assertFalse(ProxyRules().resolves("a.example"))

    def test_host_name_has_an_address_that_stands_for_it(self) -> None:
        one, two = placeholder("home.example.org"), placeholder("other.example.org")
        self.assertNotEqual(one, two)
        self.assertTrue(is_placeholder(Endpoint.of(one, 1).host))
        self.assertTrue(ProxyRules(HTTP).for_endpoint(Endpoint.of(one, 1)))
        for host in ("8.8.8.8", "2600::1", "100:0:0:1::1"):
            self.assertFalse(is_placeholder(host))
