"""
A node as it may be on some evening, for tests, for the browser and for the pictures of the documentation.

C{python -m tests.daemon.page.sample [--alone] PORT} serves its page on loopback until it is interrupted.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import time
from typing import Any

from routing_crust.identity import Identity
from routing_crust.routing.reporting.explain import AttemptExplained, CandidateExplained, Explanation

WORDS = (
    "home",
    "laptop",
    "backup",
    "attic",
    "phone",
    "office",
    "camper",
    "shed",
    "vps-fra",
    "vps-nyc",
    "studio",
)
NAMES = {word: str(Identity.from_seed(hashlib.sha256(word.encode()).digest()).name) for word in WORDS}
HOSTILE = "<img src=x onerror=\"document.title='hacked'\">"
"""What a peer could choose to be called."""
BACKWARDS = "evil\u202etxt.exe"
"""With a character that turns the direction of writing."""

_LINKS = (
    ("laptop", "direct", None, 0.0042, "member", 7400, False),
    ("backup", "direct", None, 0.0118, "member", 86_400 * 3, False),
    ("attic", "mapped", None, 0.0304, "member", 5200, False),
    ("phone", "tunnel", "vps-fra", 0.0871, "attached", 310, True),
    ("office", "punched", None, 0.0196, "member", 9000, False),
    ("camper", "tunnel", "vps-fra", 0.1420, "member", 1260, False),
    ("vps-fra", "direct", None, 0.0233, "member", 86_400 * 9, False),
    ("vps-nyc", "direct", None, 0.0952, "member", 86_400 * 9, False),
    ("studio", "punched", None, 0.0151, "member", 15_000, False),
)
CLOSE = ("laptop", "backup", "attic", "office", "vps-fra", "studio")


def links(passed: float) -> list[dict[str, Any]]:
    return [
        {
            "peer": NAMES[word],
            "nickname": word,
            "address": f"198.51.100.{10 + number}:5483",
            "direction": "connected" if number % 2 else "accepted",
            "use": use,
            "rung": rung,
            "via": None if via is None else NAMES[via],
            "two_way": word != "phone",
            "client": client,
            "seconds": seconds + passed,
            "queued": 0,
            "silent_seconds": None,
            "round_trip_seconds": round_trip * (1 + 0.02 * ((number + int(passed)) % 3)),
            "round_trip_variation_seconds": round_trip / 10,
            "sees_us_at": None,
        }
        for number, (word, rung, via, round_trip, use, seconds, client) in enumerate(_LINKS)
    ]


def stream(
    number: int, kind: str, peer: str, protocol: str, figures: tuple[int, int], **more: Any
) -> dict[str, Any]:
    sent, received = figures
    given = {"seconds": 640.0, "suspended": False, **more}
    return {
        "number": number,
        "kind": kind,
        "peer": NAMES[peer],
        "protocol": protocol,
        "sent": sent,
        "received": received,
        **given,
    }


class SampleSource:
    """What the page shows of it."""

    def __init__(self, nickname: str = "laptop", seconds: Any = time.time) -> None:
        """
        @param nickname: what one of the peers is called.
        """
        self.nickname = nickname
        self._seconds = seconds
        self._start = seconds()
        self.alone = False
        self.taken = 0

    def status(self) -> dict[str, Any]:
        self.taken += 1
        passed = self._seconds() - self._start
        status = {
            "name": NAMES["home"],
            "network": "home",
            "role": "node",
            "state": "connected",
            "bootstrapped": True,
            "group_connected": True,
            "incarnation": 12,
            "endpoints": ["203.0.113.7:5483", "[2001:db8::7]:5483"],
            "external": [{"endpoint": "203.0.113.7:5483", "source": "mapped"}],
            "mapped_ports": ["5483 by NAT-PMP, for 52 more minutes"],
            "path_mtu": [],
            "uplinks": [],
            "nat": "cone",
            "dialable": "yes",
            "dialable_seconds": 86_000 + passed,
            "proxy": None,
            "close_group": [NAMES[each] for each in CLOSE],
            "table": [NAMES[each] for each in WORDS if each not in ("home", "phone")],
            "links": [
                {**each, "nickname": self.nickname if each["nickname"] == "laptop" else each["nickname"]}
                for each in links(passed)
            ],
            "unconfirmed_links": 1,
            "expected_connections": 0,
            "relay": {"waiting": 0, "waiting_bytes": 0, "dropped": 3},
            "failures": [
                self.failure("shed", 42, "dial", "198.51.100.77:5483", "no answer within 10 s", 9),
                self.failure("shed", 130, "request", "", "no answer within 20 s", 3),
                self.failure("camper", 1310, "punch", "203.0.113.200:41999", "no answer within 6 s"),
            ],
            "contact": f"{NAMES['home']}@203.0.113.7:5483",
            "version": "0.1.0",
            "process": 4182,
            "state_dir": "/home/ada/.local/state/routing-crust/home",
            "uptime": 93_000 + passed,
            "listeners": 0,
            "offered": ["ssh"],
            "stream_counts": {},
            "suspended": {
                NAMES["camper"]: {
                    "streams": 1,
                    "seconds": 14.0,
                    "because": "nothing came for 60 s",
                    "left": 586.0,
                    "kept": 18_432,
                    "trying": "it asks camper for another link",
                }
            },
            "exposed": [
                {
                    "protocol": "ssh",
                    "target": "tcp:localhost:22",
                    "keep": None,
                    "allowed": [NAMES["laptop"], "tag:admin"],
                    "open": 1,
                }
            ],
            "forwarded": [
                {
                    "listen": "127.0.0.1:2222",
                    "peer": NAMES["backup"],
                    "protocol": "ssh",
                    "keep": None,
                    "open": 1,
                },
                {
                    "listen": "127.0.0.1:8080",
                    "peer": NAMES["camper"],
                    "protocol": "web",
                    "keep": 3600,
                    "open": 1,
                },
            ],
            "streams": [
                stream(
                    1, "exposed", "laptop", "ssh", (48_211 + int(900 * passed), 19_800), seconds=2520 + passed
                ),
                stream(2, "forwarded", "backup", "ssh", (7_340_032 + int(3.2e6 * passed), 91_000)),
                stream(3, "forwarded", "camper", "web", (1_204, 88_310), suspended=True),
            ],
            "carried": {
                "exposed": {"connections": 4, "sent": 48_211, "received": 19_800},
                "forwarded": {"connections": 9, "sent": 7_341_236, "received": 179_310},
            },
            "membership": {
                "nickname": "home",
                "roles": ["admin", "inviter", "node", "relay"],
                "tags": [],
                "until": "2027-05-30",
                "seconds_left": 15_552_000,
                "ends_soon": False,
                "problem": "",
                "roster": 2,
                "roster_digest": "0f3a",
                "banned": 1,
                "refused_by": {},
            },
        }
        nothing: dict[str, Any] = {
            "links": [],
            "failures": [],
            "streams": [],
            "exposed": [],
            "forwarded": [],
            "suspended": {},
            "close_group": [],
            "table": [],
            "state": "disconnected",
            "role": "first",
            "group_connected": False,
        }
        return {**status, **nothing} if self.alone else status

    def failure(
        self, peer: str, ago: float, way: str, where: str, outcome: str, times: int = 1
    ) -> dict[str, Any]:
        return {
            "peer": NAMES[peer],
            "nickname": peer,
            "seconds_ago": ago + self._seconds() - self._start,
            "way": way,
            "where": where,
            "outcome": outcome,
            "times": times,
        }

    def members(self) -> list[dict[str, Any]]:
        now = self._seconds()
        days = dict(zip(WORDS, (183, 183, 160, 9, 71, 33, 120, -2, 183, 183, 25), strict=True))
        linked = {each["nickname"]: each for each in links(0)}
        found = []
        for word in WORDS[: 1 if self.alone else None]:
            expires = now + 86_400 * days[word] + 3600
            link = linked.get(word)
            found.append(
                {
                    "nickname": self.nickname if word == "laptop" else word,
                    "name": NAMES[word],
                    "roles": ["client"]
                    if word == "phone"
                    else ["admin", "node"]
                    if word == "home"
                    else ["node"],
                    "tags": ["servers"] if word.startswith("vps") else [],
                    "expires": expires,
                    "until": time.strftime("%Y-%m-%d", time.gmtime(expires)),
                    "this": word == "home",
                    "connection": None if link is None else link["rung"],
                    "via": None if link is None else link["via"],
                    "linked_seconds": None if link is None else link["seconds"],
                    "expired": days[word] < 0,
                    "banned": "",
                }
            )
        return found

    def explain(self, name: Any) -> Explanation:
        return Explanation(
            str(name),
            True,
            "there is a link: direct, we connected to 198.51.100.10:5483, for 2 h 3 min, in use as member, "
            "round trip 4.2 ms",
            (CandidateExplained("198.51.100.10:5483", ("the saved contacts",), "linked", "", 0.0),),
            (
                AttemptExplained(
                    7400.0, "dial", "198.51.100.10:5483", f"linked with {self.nickname}", True, 1
                ),
            ),
            nickname=self.nickname,
        )


def fill(journal: Any, move: Any) -> None:
    """
    What has happened in the last hour.

    @param move: called with seconds that pass.
    """
    happened = itertools.chain(
        (
            ("state", "bootstrapping (was disconnected)", "", 40.0),
            ("state", "connected (was bootstrapping)", "", 500.0),
        ),
        (("link", "direct, at 198.51.100.10:5483, for member", "laptop", 60.0),),
        (("reachability", "dialable from outside: yes (NAT: cone)", "", 300.0),),
        (
            ("link lost", "the connection was lost", "camper", 20.0),
            ("link", "relayed by vps-fra", "camper", 200.0),
        ),
        (("refused", "refused: it is not among those that are allowed", "office", 30.0),),
        (("link changed", "punched, at 203.0.113.77:40112, for member", "studio", 25.0),),
    )
    for kind, text, peer, passes in happened:
        journal.add(kind, text, NAMES[peer] if peer else "")
        move(passes)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the status page of a node that is made up.")
    parser.add_argument("port", type=int)
    parser.add_argument("--alone", action="store_true", help="without any peer")
    parser.add_argument("--nickname", default="laptop", help="what one of the peers is called")
    options = parser.parse_args()

    from twisted.internet import reactor

    from routing_crust.daemon.page.resource import StatusPage
    from routing_crust.daemon.page.serving import PageSite

    from .support import SampleService

    source = SampleSource(options.nickname)
    source.alone = options.alone
    service = SampleService(source)
    service.clock.advance(time.time() - 1500)
    page = StatusPage(service, source=source)
    if not options.alone:
        fill_states(page.journal, service.clock.advance)
        fill(page.journal, service.clock.advance)
    service.clock = page.feed._clock = reactor
    page._snapshots._service = page.journal._service = service
    reactor.listenTCP(options.port, PageSite(page), interface="127.0.0.1")
    reactor.run()


def fill_states(journal: Any, move: Any) -> None:
    """From a start to a network, with a break."""
    for state, passes in (
        ("bootstrapping", 40.0),
        ("connected", 200.0),
        ("bootstrapping", 25.0),
        ("connected", 0.0),
    ):
        journal._states.append((journal._service.clock.seconds(), state))
        move(passes)


if __name__ == "__main__":
    main()
