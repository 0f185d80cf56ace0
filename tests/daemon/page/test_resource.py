"""The status page, asked over HTTP."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from routing_crust.config import Role, Settings
from routing_crust.daemon.forward.reports import Report
from routing_crust.daemon.page import feed
from routing_crust.daemon.page.resource import StatusPage
from routing_crust.routing.state import State

from ..fakes import BOB
from .requests import Answer, Wire
from .sample import BACKWARDS, HOSTILE, NAMES, SampleSource
from .support import SampleService


class PageTests(SynchronousTestCase):
    """What the tests here share."""

    def setUp(self) -> None:
        self.source = SampleSource(
            seconds=lambda: self.service.clock.seconds() if hasattr(self, "service") else 0.0
        )
        self.service = SampleService(self.source)
        self.page = StatusPage(self.service, source=self.source)  # type: ignore[arg-type]
        self.addCleanup(lambda: self.assertEqual(self.service.clock.getDelayedCalls(), []))
        self.addCleanup(self.page.close)

    def wire(self, page: Resource | None = None) -> Wire:
        wire = Wire(page or self.page)
        self.addCleanup(wire.hang_up)
        return wire

    def ask(self, path: str, method: str = "GET", **headers: str) -> Answer:
        return self.wire().send(path, method, **headers)

    def snapshot(self) -> Any:
        return json.loads(self.ask("/snapshot.json").body)


class FilesTests(PageTests):
    """Nothing comes from elsewhere, and nothing that peers choose becomes markup."""

    def test_page_and_all_that_it_refers_to_are_served(self) -> None:
        answer = self.ask("/")
        self.assertEqual((answer.code, answer.headers["content-type"]), (200, "text/html; charset=utf-8"))
        referred = set(re.findall(r'(?:src|href)="([^#"]+)"', answer.body.decode()))
        self.assertEqual(referred, {"icon.svg", "page.css", "page.js"})
        imported = set(re.findall(r'from "\./([^"]+)"', self.ask("/page.js").body.decode()))
        self.assertEqual(imported, {"picture.js"})
        for each in referred | imported:
            self.assertEqual(self.ask(f"/{each}").code, 200, each)

    def test_policy_allows_no_script_but_our_own_files(self) -> None:
        for path in ("/", "/page.js", "/snapshot.json", "/nowhere", "/healthz"):
            headers = self.ask(path).headers
            policy = dict(
                each.strip().split(" ", 1) for each in headers["content-security-policy"].split(";")
            )
            self.assertEqual((policy["default-src"], policy["script-src"]), ("'none'", "'self'"))
            self.assertEqual((policy["frame-ancestors"], policy["base-uri"]), ("'none'", "'none'"))
            self.assertEqual(headers["x-content-type-options"], "nosniff")

    def test_html_has_no_script_or_style_within(self) -> None:
        html = self.ask("/").body.decode()
        self.assertEqual(
            re.findall(r"<script[^>]*>(?!</script>)|<style|\son\w+=|style=|javascript:|https?://", html), []
        )

    def test_scripts_never_make_markup_of_text(self) -> None:
        for name in ("page.js", "picture.js"):
            script = (files("routing_crust.daemon.page") / "files" / name).read_text()
            found = re.findall(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|\beval\b"
                r"|new Function|srcdoc|setTimeout\(\s*[\"'`]|https?://(?!www\.w3\.org/2000/svg)",
                script,
            )
            self.assertEqual(found, [], name)

    def test_page_says_what_a_screen_reader_needs(self) -> None:
        html = self.ask("/").body.decode()
        ids = set(re.findall(r'\bid="([^"]+)"', html))
        for labels in re.findall(r'aria-labelledby="([^"]+)"', html):
            self.assertLessEqual(set(labels.split()), ids, labels)
        self.assertIn('<html lang="en">', html)
        self.assertEqual(html.count("<table"), html.count("<thead"))
        self.assertNotIn("<th>", html)
        script = self.ask("/page.js").body.decode()
        self.assertLessEqual(set(re.findall(r'get\("([^"]+)"\)', script)), ids)

    def test_below_another_resource_the_address_gets_its_slash(self) -> None:
        root = Resource()  # type: ignore[no-untyped-call]
        root.putChild(b"status", self.page)
        answer = self.wire(root).send("/status")
        self.assertEqual((answer.code, answer.headers["location"]), (302, "status/"))
        self.assertEqual(self.wire(root).send("/status/").code, 200)
        self.assertEqual(self.wire(root).send("/status/page.js").code, 200)


class AccessTests(PageTests):
    def test_strange_host_is_refused(self) -> None:
        for path in ("/", "/snapshot.json", "/events", "/metrics", "/explain.json?name=x"):
            answer = self.ask(path, Host="evil.example:8053")
            self.assertEqual((answer.code, b"Host" in answer.body), (403, True), path)

    def test_without_the_token_nothing_is_shown(self) -> None:
        self.page.token = "a token of some length"
        for path in ("/", "/snapshot.json", "/events", "/metrics"):
            answer = self.ask(path)
            self.assertEqual((answer.code, answer.headers["www-authenticate"][:5]), (401, "Basic"), path)
        self.assertEqual(self.ask("/snapshot.json", Authorization="Bearer a token of some length").code, 200)
        self.assertEqual(
            self.ask("/", Host="home.example", Authorization="Bearer a token of some length").code, 200
        )

    def test_probes_of_health_need_no_token_and_no_host(self) -> None:
        self.page.token = "a token of some length"
        for path in ("/healthz", "/readyz"):
            self.assertEqual(self.ask(path, Host="evil.example").code, 200)

    def test_nothing_can_be_changed(self) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            answer = self.ask("/snapshot.json", method)
            self.assertEqual((answer.code, answer.headers["allow"]), (405, "GET, HEAD"), method)

    def test_request_with_a_body_is_cut_off_before_the_body_is_kept(self) -> None:
        wire = self.wire()
        wire.send("/", "POST", b"x" * 10)
        self.assertTrue(
            wire.transport.disconnected or wire.transport.disconnecting or wire.transport.aborting
        )
        wire = self.wire()
        wire.send("/", "POST", **{"Transfer-Encoding": "chunked"})
        self.assertTrue(
            wire.transport.disconnected or wire.transport.disconnecting or wire.transport.aborting
        )

    def test_head_has_no_content(self) -> None:
        for path in ("/", "/snapshot.json", "/events"):
            answer = self.ask(path, "HEAD")
            self.assertEqual((answer.code, answer.body), (200, b""), path)
        self.assertEqual(len(self.page.feed), 0)

    def test_what_is_not_there(self) -> None:
        for path in (
            "/nowhere",
            "/../setup.py",
            "/%2e%2e/page.js",
            "/files/page.js",
            "/explain.json",
            "/explain.json?name=x",
        ):
            self.assertEqual(self.ask(path).code, 404, path)


class SnapshotTests(PageTests):
    def test_snapshot_has_status_members_states_and_events(self) -> None:
        self.page.report(Report(BOB, "refused", "refused: it is not among those that are allowed"))
        found = self.snapshot()
        self.assertEqual(found["status"]["links"][0]["peer"], NAMES["laptop"])
        self.assertEqual(found["members"][0]["nickname"], "home")
        self.assertEqual([each["state"] for each in found["states"]], ["connected"])
        (event,) = found["events"]
        self.assertEqual((event["kind"], event["peer"]), ("refused", str(BOB)))

    def test_rates_are_of_the_time_between_two_snapshots(self) -> None:
        self.assertEqual(self.snapshot()["stream_rates"]["2"], [0.0, 0.0])
        self.service.clock.advance(1)
        self.assertEqual(self.snapshot()["stream_rates"]["2"], [1_600_000.0, 0.0])
        self.assertEqual(self.snapshot()["stream_rates"]["2"], [1_600_000.0, 0.0])
        self.service.clock.advance(2)
        self.assertEqual(self.snapshot()["stream_rates"]["2"], [2_400_000.0, 0.0])

    def test_text_of_peers_is_escaped_and_its_direction_cannot_turn(self) -> None:
        for nickname, shown in ((HOSTILE, HOSTILE), (BACKWARDS, "evil\\u202etxt.exe")):
            self.source.nickname = nickname
            answer = self.ask("/snapshot.json")
            self.assertTrue(answer.body.isascii())
            self.assertEqual(answer.headers["content-type"], "application/json")
            self.assertEqual(json.loads(answer.body)["status"]["links"][0]["nickname"], shown)

    def test_peer_is_explained(self) -> None:
        answer = self.ask(f"/explain.json?name={NAMES['laptop']}")
        self.assertEqual((answer.code, json.loads(answer.body)["name"]), (200, NAMES["laptop"]))


class FeedTests(PageTests):
    """One snapshot a second for all who look."""

    def events(self, wire: Wire) -> int:
        return wire.answer().body.count(b"data: ")

    def test_first_snapshot_comes_at_once_and_the_others_each_second(self) -> None:
        wire = self.wire()
        answer = wire.send("/events")
        self.assertEqual((answer.code, answer.headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual(self.events(wire), 1)
        self.service.clock.pump([1] * 3)
        self.assertEqual(self.events(wire), 4)
        for line in wire.answer().body.decode().splitlines():
            self.assertRegex(line, r"^(data: \{.*\}|retry: \d+|)$")

    def test_ten_pages_share_each_snapshot(self) -> None:
        wires = [self.wire() for _ in range(10)]
        for wire in wires:
            wire.send("/events")
        before = self.source.taken
        self.service.clock.pump([1] * 5)
        self.assertEqual(self.source.taken - before, 5)
        self.assertEqual({self.events(wire) for wire in wires}, {6})

    def test_nothing_is_done_when_nobody_looks(self) -> None:
        wire = Wire(self.page)
        wire.send("/events")
        wire.hang_up()
        before = self.source.taken
        self.service.clock.pump([1] * 5)
        self.assertEqual((self.source.taken - before, len(self.page.feed)), (0, 0))
        self.assertEqual(self.service.clock.getDelayedCalls(), [])

    def test_page_that_does_not_keep_up_misses_snapshots(self) -> None:
        wire = self.wire()
        wire.send("/events")
        wire.transport.producer.pauseProducing()
        self.service.clock.pump([1] * 50)
        self.assertEqual(self.events(wire), 1)
        wire.transport.producer.resumeProducing()
        self.service.clock.advance(1)
        self.assertEqual(self.events(wire), 2)

    def test_too_many_pages_are_turned_away(self) -> None:
        self.patch(feed, "MAX_WATCHERS", 2)
        self.assertEqual([self.ask("/events").code for _ in range(3)], [200, 200, 503])

    def test_close_ends_the_connections(self) -> None:
        wire = self.wire()
        wire.send("/events")
        self.page.close()
        self.assertTrue(wire.transport.disconnecting)
        self.assertEqual(len(self.page.feed), 0)


class HealthTests(PageTests):
    def test_a_connected_node_is_alive_and_ready(self) -> None:
        for path in ("/healthz", "/readyz"):
            self.assertEqual((self.ask(path).code, self.ask(path).body), (200, b"ok\n"))

    def test_a_node_without_a_network_is_alive_and_not_ready(self) -> None:
        self.service.state = State.BOOTSTRAPPING
        self.assertEqual(self.ask("/healthz").code, 200)
        answer = self.ask("/readyz")
        self.assertEqual((answer.code, answer.body), (503, b"the node is bootstrapping\n"))

    def test_a_first_node_is_ready_for_the_first_peer(self) -> None:
        self.service.settings = Settings(role=Role.FIRST)
        self.service.state = State.DISCONNECTED
        self.assertEqual(self.ask("/readyz").code, 200)

    def test_a_stopped_node_is_neither(self) -> None:
        self.service.running = False
        for path in ("/healthz", "/readyz"):
            self.assertEqual(self.ask(path).code, 503)
