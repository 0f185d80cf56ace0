"""Who may look at the status page."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.page.access import has_token, is_harmless_host

TOKEN = "a token of some length, ä"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


class HostTests(SynchronousTestCase):
    def test_addresses_and_localhost_are_harmless(self) -> None:
        for host in (
            *(
                "localhost",
                "LOCALHOST:8053",
                "localhost.:80",
                "node.localhost",
                "127.0.0.1",
                "127.0.0.1:8053",
            ),
            *("[::1]", "[::1]:8053", "192.0.2.1:80", "[2001:db8::7]"),
        ):
            self.assertTrue(is_harmless_host(host), host)

    def test_names_that_anybody_can_have_are_not(self) -> None:
        """A page of a stranger, whose name resolves to our loopback address."""
        for host in (
            *(
                None,
                "",
                ":80",
                "evil.example",
                "evil.example:8053",
                "127.0.0.1.evil.example",
                "localhost.evil.example",
            ),
            *(
                "evillocalhost",
                "localhost:80:evil.example",
                "[::1].evil.example",
                "127.0.0.1:evil",
                "localhost@evil",
            ),
            *("localhost:8053 ", "127.0.0.1, evil.example"),
        ):
            self.assertFalse(is_harmless_host(host), host)

    @given(st.text())
    def test_nothing_raises(self, text: str) -> None:
        is_harmless_host(text)
        self.assertFalse(has_token(text, TOKEN))


class TokenTests(SynchronousTestCase):
    def test_token_as_the_password_of_any_user_and_as_a_bearer_token(self) -> None:
        for header in (basic(f":{TOKEN}"), basic(f"ada:{TOKEN}"), f"Bearer {TOKEN}", f"bearer  {TOKEN} "):
            self.assertTrue(has_token(header, TOKEN), header)

    def test_anything_else_is_refused(self) -> None:
        for header in (
            *(
                None,
                "",
                TOKEN,
                "Bearer",
                "Bearer ",
                "Basic",
                "Basic !!!",
                basic(TOKEN),
                basic(f"{TOKEN}:"),
                basic("a:b"),
            ),
            *(
                f"Digest {TOKEN}",
                f"Bearer {TOKEN}x",
                f"Bearer {TOKEN[:-1]}",
                "Basic " + base64.b64encode(b"\xff:\xff").decode(),
            ),
        ):
            self.assertFalse(has_token(header, TOKEN), header)
