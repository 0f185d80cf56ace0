"""
What the terminal shows.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from routing_crust.daemon.text import done_text, printable, size_text, status_text, suspension_text

from .fakes import ALICE, BOB

STATUS: dict[str, Any] = {
    "name": str(ALICE),
    "network": "lab",
    "role": "node",
    "state": "connected",
    "group_connected": True,
    "endpoints": ["127.0.0.1:6000", "[::1]:6000"],
    "external": [
        {"endpoint": "8.8.4.4:6000", "source": "mapped"},
        {"endpoint": "9.9.9.9:6001", "source": "observed"},
        {"endpoint": "127.0.0.1:6000", "source": "private"},
    ],
    "nat": "open",
    "dialable": "yes",
    "dialable_seconds": 7,
    "proxy": None,
    "table": [str(BOB)],
    "links": [
        {
            "peer": str(BOB),
            "address": "127.0.0.1:7000",
            "direction": "connected",
            "use": "member",
            "two_way": True,
            "client": False,
            "seconds": 61.2,
            "queued": 0,
            "round_trip_seconds": 0.00414,
        },
        {
            "peer": str(ALICE),
            "rung": "tunnel",
            "via": str(BOB),
            "address": "127.0.0.1:7001",
            "direction": "accepted",
            "use": "attached",
            "two_way": False,
            "client": True,
            "seconds": 3725.0,
            "queued": 9,
        },
    ],
    "unconfirmed_links": 2,
    "sessions": {
        "number": 2,
        "peers": [
            {"peer": str(BOB), "nickname": "bob", "seconds": 61.5, "idle_seconds": 2.0},
            {"peer": str(ALICE), "nickname": "", "seconds": 70.5, "idle_seconds": 2.0},
        ],
    },
    "contact": f"{ALICE}@127.0.0.1:6000",
    "listeners": 1,
    "process": 77,
    "uptime": 93784.0,
    "version": "1.0",
    "state_dir": "/srv/node",
}


class PrintableTests(SynchronousTestCase):
    """Bodies are from strangers."""

    def test_text_is_as_it_is(self) -> None:
        self.assertEqual(printable("grüß dich, 世界".encode()), "grüß dich, 世界")

    def test_what_would_change_the_terminal_is_escaped(self) -> None:
        self.assertEqual(printable(b"a\x1b[2Jb\nc\r\t\x00"), r"a\x1b[2Jb\nc\r\t\x00")
        self.assertEqual(printable("a\u202eb\x9b".encode()), r"a\u202eb\x9b")
        self.assertEqual(printable(b"\xff\xfe"), r"\xff\xfe")

    @given(st.binary(max_size=100))
    def test_it_is_always_one_printable_line(self, body: bytes) -> None:
        self.assertTrue(printable(body).isprintable())


class DoneTextTests(SynchronousTestCase):
    """Acknowledgements, and sizes."""

    def test_a_peer_that_goes_by_a_nickname_is_named_as_well(self) -> None:
        self.assertEqual(
            done_text("bob", str(BOB), "direct", 0.0123), f"acknowledged by bob ({BOB}), direct, in 12 ms"
        )
        self.assertEqual(done_text("n", "n", "punched", 1.25), "acknowledged by n, punched, in 1.2 s")

    def test_sizes_have_the_unit_that_fits(self) -> None:
        sizes = {0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 3 << 20: "3.0 MiB", 5 << 30: "5.0 GiB"}
        for size, text in sizes.items():
            self.assertEqual(size_text(size), text)


class StatusTextTests(SynchronousTestCase):
    """The state of a node for people."""

    def test_member_of_a_private_network_is_shown_by_what_people_call_it_and_the_network(self) -> None:
        membership = {
            "nickname": "laptop",
            "roles": ["node", "relay"],
            "tags": ["admins"],
            "until": "2027-02-27 00:43 UTC",
            "refused_by": {str(BOB): "the member is banned"},
        }
        lines = status_text({**STATUS, "label": "home", "membership": membership}).splitlines()
        self.assertIn("network:       home (lab)", lines)
        self.assertIn("member:        laptop, node,relay, tags admins, until 2027-02-27 00:43 UTC", lines)
        self.assertIn(f"refused by:    {str(BOB)[:8]}: the member is banned", lines)

    def test_whole_status_is_shown(self) -> None:
        self.assertEqual(
            status_text(STATUS).splitlines(),
            [
                f"name:          {ALICE}",
                "network:       lab",
                "role:          node",
                "state:         connected, linked with all neighbours",
                f"contact:       {ALICE}@127.0.0.1:6000",
                "listening:     127.0.0.1:6000, [::1]:6000",
                "external:      8.8.4.4:6000 (mapped), 9.9.9.9:6001 (observed)",
                "nat:           open, dialable from outside: yes, for 7 s",
                "listeners:     1",
                "process:       77, for 1 d 2 h",
                "version:       1.0",
                "state dir:     /srv/node",
                "routing table: 1 node",
                "links:         2, and 2 unconfirmed",
                f"  to   {BOB} at 127.0.0.1:7000, member, for 1 min 1 s, round trip 4.1 ms",
                f"  from {ALICE} at 127.0.0.1:7001, attached, for 1 h 2 min, client, "
                f"relayed through {BOB}, one-way, 9 bytes queued",
                f"sessions:      2: bob ({str(BOB)[:8]}) for 1 min 1 s, {ALICE} for 1 min 10 s",
            ],
        )

    def test_link_that_is_doubted_says_for_how_long(self) -> None:
        link = {"peer": str(BOB), "two_way": True, "silent_seconds": 61.2}
        shown = status_text({**STATUS, "links": [link]})
        self.assertIn("for 0 s, no answer for 1 min 1 s, so another link is tried for\n", shown)

    def test_exposed_and_forwarded_are_shown(self) -> None:
        stream = {
            "kind": "exposed",
            "protocol": "ssh",
            "peer": str(BOB),
            "seconds": 61,
            "sent": 5,
            "received": 6,
        }
        exposed = {"protocol": "ssh", "target": "tcp:h:22", "open": 1}
        status = {
            "exposed": [{**exposed, "allowed": [str(BOB)]}, {**exposed, "allowed": []}],
            "forwarded": [{"listen": "127.0.0.1:1", "protocol": "db", "peer": str(BOB), "open": 0}],
            "streams": [stream],
        }
        self.assertEqual(
            status_text(status).splitlines()[-5:],
            [
                f"exposed:       ssh, which is tcp:h:22, to {BOB}; 1 open",
                "exposed:       ssh, which is tcp:h:22, to nobody; 1 open",
                f"forwarded:     127.0.0.1:1 to db of {BOB}; 0 open",
                "streams:       1",
                f"  exposed   ssh with {BOB}, for 1 min 1 s, 5 bytes sent, 6 received",
            ],
        )

    def test_peers_of_streams_are_called_by_their_nicknames(self) -> None:
        waiting = {"seconds": 1, "because": "x", "streams": 2, "kept": 0, "left": 5, "trying": "y"}
        stream = {"kind": "local", "protocol": "a", "peer": str(BOB), "seconds": 1, "sent": 2, "received": 3}
        status = {
            "forwarded": [{"listen": "127.0.0.1:1", "protocol": "db", "peer": str(BOB), "open": 0}],
            "suspended": {str(BOB): waiting},
            "streams": [stream],
            "nicknames": {str(BOB): "bob"},
        }
        text = status_text(status)
        self.assertEqual(text.count(f"bob ({str(BOB)[:8]})"), 3)
        self.assertNotIn(str(BOB), text)

    def test_suspended_streams_are_shown_with_why_and_what_is_tried(self) -> None:
        waiting = {
            "seconds": 12.5,
            "because": "silence\n",
            "streams": 2,
            "kept": 300,
            "left": 587.5,
            "trying": "a link is asked for in 3.1 s",
        }
        stream = {"kind": "local", "protocol": "a", "peer": "p", "seconds": 1, "sent": 2, "received": 3}
        status = {"suspended": {str(BOB): waiting}, "streams": [{**stream, "suspended": True}]}
        self.assertEqual(
            status_text(status).splitlines()[-4:],
            [
                f"suspended:     2 streams with {BOB}, for 12 s: link lost (silence\\n)",
                "  a link is asked for in 3.1 s; they may wait for 9 min 47 s more, 300 bytes are kept",
                "streams:       1",
                "  local     a with p, for 1 s, 2 bytes sent, 3 received, waits for a link",
            ],
        )

    def test_suspension_and_what_comes_of_it_are_told_in_a_line(self) -> None:
        for words, line in (
            (
                ("suspended", 1, 0.0, "silence"),
                "the link to bob is lost (silence): 1 connection waits for another",
            ),
            (("suspended", 2, 0.0, "x"), "the link to bob is lost (x): 2 connections wait for another one"),
            (("resumed", 1, 61.0, ""), "bob is back after 1 min 1 s: 1 connection goes on"),
            (("resumed", 3, 5.5, ""), "bob is back after 5 s: 3 connections go on"),
            (("ended", 2, 600.0, "too\nlate"), "2 connections with bob have ended: too\\nlate"),
        ):
            self.assertTrue(suspension_text("bob", *words).startswith(line), words)

    def test_node_that_could_not_join_says_so(self) -> None:
        served = {**STATUS, "table": [], "proxy": str(BOB)}
        self.assertIn(
            "state:         connected, served by its proxy as a client is; it goes", status_text(served)
        )
        for usual in ({"role": "first"}, {"role": "client"}, {"state": "bootstrapping"}, {"table": ["x"]}):
            self.assertNotIn("served by its proxy", status_text({**served, **usual}))

    def test_client_that_has_its_proxy_misses_nothing(self) -> None:
        client = {**STATUS, "role": "client", "group_connected": False}
        self.assertIn("state:         connected, through its proxy\n", status_text(client))
        self.assertNotIn("proxy\n", status_text({**client, "state": "bootstrapping"}).split("listening")[0])

    def test_a_first_node_without_a_peer_is_well(self) -> None:
        text = status_text({"state": "disconnected", "role": "first"})
        self.assertIn("state:         disconnected, waiting for the first peer\n", text)

    def test_a_daemon_of_another_version_may_leave_things_out(self) -> None:
        text = status_text({"state": "disconnected", "no_way_in": "no answer\n"})
        self.assertRegex(text, r"state: +disconnected, and tries again: no answer\\n\n")
        text = status_text({"state": "disconnected", "uptime": 5})
        self.assertIn("state:         disconnected, not linked with all neighbours", text)
        self.assertIn("listening:     no", text)
        self.assertIn("external:      none known", text)
        self.assertIn("nat:           unknown, dialable from outside: unknown, for 0 s", text)
        self.assertIn("for 5 s", text)
