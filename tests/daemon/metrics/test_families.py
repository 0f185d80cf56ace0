"""The figures of a node, and what is made of them in contrib/."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from routing_crust.daemon.metrics import exposition as exposition_module
from routing_crust.daemon.metrics.families import PREFIX, Family, families
from routing_crust.daemon.page.resource import StatusPage
from routing_crust.endpoints import Connection, Direction, Endpoint, PathKind, Protocol
from routing_crust.errors import CloseReason
from routing_crust.routing.events import LinkChanged, LinkFacts, LinkGained, LinkLost, StateChanged
from routing_crust.routing.state import State
from routing_crust.wire.messages import LinkUse

from ..fakes import BOB
from ..page.requests import Wire
from ..page.sample import HOSTILE, NAMES, WORDS, SampleSource
from ..page.support import SampleService

try:
    import prometheus_client
except ImportError:
    prometheus_client = None  # type: ignore[assignment]
NO_CLIENT = "" if prometheus_client else "prometheus-client is not installed"
CONTRIB = Path(__file__).resolve().parents[3] / "contrib"
COUNTS = Counter(
    {
        ("links_gained", "direct"): 4,
        ("links_replaced", "direct"): 1,
        ("links_lost", "inactive"): 2,
        ("state_changes", "connected"): 1,
    }
)


def contrib(name: str) -> str:
    path = CONTRIB / name
    if not path.exists():
        raise SkipTest(f"contrib/{name} is not here: it is not installed")
    return path.read_text(encoding="utf-8")


def all_families(source: SampleSource | None = None) -> dict[str, Family]:
    source = source or SampleSource()
    return {each.name: each for each in families(source.status(), COUNTS, source.members())}


def exported_names() -> set[str]:
    """The names of the series, as queries have them."""
    return {f"{PREFIX}{each.name}{'_total' * (each.kind == 'counter')}" for each in all_families().values()}


class FamiliesTests(SynchronousTestCase):
    def test_names_keep_to_the_conventions(self) -> None:
        for each in all_families().values():
            self.assertRegex(each.name, r"^[a-z]+(_[a-z]+)*$")
            self.assertFalse(each.name.endswith(("_total", "_count", "_sum", "_bucket")), each.name)
            self.assertRegex(each.help, r"^[A-Z0-9].*\.$")
            self.assertNotRegex(each.name, r"_(ms|milliseconds|kib|minutes|percent)\b")
            for labels, _ in each.samples:
                self.assertEqual(len(labels), len(each.labels), each.name)

    def test_no_label_has_a_value_that_a_peer_chooses(self) -> None:
        source = SampleSource(HOSTILE)
        values = {
            value for each in all_families(source).values() for labels, _ in each.samples for value in labels
        }
        chosen = {HOSTILE, *NAMES.values(), *WORDS, "ssh", "web", "203.0.113.7"}
        self.assertEqual({value for value in values if any(each in value for each in chosen)}, set())

    def test_series_do_not_grow_with_peers(self) -> None:
        source = SampleSource()
        status = source.status()
        few = sum(len(each.samples) for each in families(status, COUNTS, source.members()))
        status["links"] = status["links"] * 50
        status["streams"] = status["streams"] * 50
        many = sum(len(each.samples) for each in families(status, COUNTS, source.members() * 50))
        self.assertEqual(many, few)

    def test_figures_are_those_of_the_status(self) -> None:
        found = all_families()
        self.assertEqual(dict(found["links"].samples)[("relayed",)], 2)
        self.assertEqual(dict(found["state"].samples)[("connected",)], 1)
        self.assertEqual(sum(value for _, value in found["state"].samples), 1)
        self.assertEqual(found["streams_suspended"].samples, (((), 1.0),))
        self.assertEqual(dict(found["stream_bytes"].samples)[("forwarded", "sent")], 7_341_236)
        self.assertEqual(dict(found["members"].samples), {("good",): 10, ("expired",): 1, ("banned",): 0})
        self.assertAlmostEqual(dict(found["link_round_trip_max_seconds"].samples)[("relayed",)], 0.142, 1)

    def test_guessed_round_trip_is_no_figure(self) -> None:
        source = SampleSource()
        status = source.status()
        for each in status["links"]:
            each["round_trip_variation_seconds"] = None
        found = {each.name: each for each in families(status, COUNTS, None)}
        self.assertEqual(found["link_round_trip_median_seconds"].samples, ())

    def test_node_that_is_not_started_has_figures_too(self) -> None:
        names = {each.name for each in families({"state": "disconnected"}, Counter(), None)}
        self.assertIn("state", names)
        self.assertNotIn("streams", names)


class EventsTests(SynchronousTestCase):
    def test_events_are_counted_by_words_of_the_program(self) -> None:
        service: Any = SampleService()
        page = StatusPage(service)
        self.addCleanup(page.close)
        connection = Connection(Protocol.TCP, Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2))
        link = LinkFacts(
            BOB, connection, Direction.CONNECTED, LinkUse.MEMBER, True, False, PathKind.TUNNEL, BOB
        )
        for event in (
            LinkGained(link),
            LinkChanged(link, link),
            LinkLost(link, CloseReason.INACTIVE, HOSTILE),
            StateChanged(State.CONNECTED, State.BOOTSTRAPPING),
        ):
            service.observers.tell(event)
        self.assertEqual(
            dict(page.journal.counts),
            {
                ("links_gained", "relayed"): 1,
                ("links_replaced", "relayed"): 1,
                ("links_lost", "inactive"): 1,
                ("state_changes", "bootstrapping"): 1,
            },
        )
        self.assertEqual(len(page.journal.events()), 4)


class ContribTests(SynchronousTestCase):
    def used(self, text: str) -> set[str]:
        return set(re.findall(r"\brouting_crust_\w+", text))

    def test_dashboard_asks_only_for_what_is_exported(self) -> None:
        text = contrib("grafana/routing-crust.json")
        dashboard = json.loads(text)
        expressions = [each["expr"] for panel in dashboard["panels"] for each in panel["targets"]]
        self.assertGreater(len(expressions), 15)
        self.assertEqual(self.used(text) - exported_names(), set())
        self.assertEqual(len({each["id"] for each in dashboard["panels"]}), len(dashboard["panels"]))

    def test_alerts_ask_only_for_what_is_exported(self) -> None:
        text = contrib("prometheus/alerts.yml")
        self.assertEqual(self.used(text) - exported_names(), set())
        self.assertGreater(text.count("- alert: "), 7)

    def test_labels_in_queries_are_those_that_are_exported(self) -> None:
        labels = {each.name: {*each.labels, "instance", "job"} for each in all_families().values()}
        for name in ("grafana/routing-crust.json", "prometheus/alerts.yml"):
            text = contrib(name).replace('\\"', '"')
            for metric, selector in re.findall(r"routing_crust_(\w+)\{([^}]*)\}", text):
                known = labels[metric.removesuffix("_total")]
                self.assertLessEqual(set(re.findall(r"(\w+)\s*=~?\"", selector)), known, metric)

    def test_promtool_takes_the_alerts(self) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            raise SkipTest("promtool is not installed (Debian has it in the package prometheus)")
        contrib("prometheus/alerts.yml")
        command = [promtool, "check", "rules", str(CONTRIB / "prometheus/alerts.yml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class ExpositionTests(SynchronousTestCase):
    def setUp(self) -> None:
        service: Any = SampleService()
        self.page = StatusPage(service, source=service.source)
        self.page.journal.counts.update(COUNTS)
        self.addCleanup(self.page.close)

    def ask(self, **headers: str) -> Any:
        wire = Wire(self.page)
        self.addCleanup(wire.hang_up)
        return wire.send("/metrics", **headers)

    def test_without_the_library_it_says_how_to_get_it(self) -> None:
        self.patch(exposition_module, "LIBRARY", "a_library_that_is_not_there")
        answer = self.ask()
        self.assertEqual(answer.code, 501)
        self.assertIn(b"pip install 'routing-crust[metrics]'", answer.body)

    def test_openmetrics_for_who_accepts_it(self) -> None:
        if NO_CLIENT:
            raise SkipTest(NO_CLIENT)
        from prometheus_client.openmetrics.parser import text_string_to_metric_families

        answer = self.ask(Accept="application/openmetrics-text; version=1.0.0")
        self.assertIn("application/openmetrics-text", answer.headers["content-type"])
        self.assertTrue(answer.body.endswith(b"# EOF\n"))
        found = {
            sample.name
            for each in text_string_to_metric_families(answer.body.decode())
            for sample in each.samples
        }
        self.assertLessEqual(exported_names(), found)
        self.assertIn("process_open_fds", found)

    def test_text_format_for_everybody_else(self) -> None:
        if NO_CLIENT:
            raise SkipTest(NO_CLIENT)
        answer = self.ask()
        self.assertEqual(answer.headers["content-type"].partition(";")[0], "text/plain")
        self.assertIn(b'\nrouting_crust_links{connection="relayed"} 2.0\n', answer.body)
        self.assertIn(b'\nrouting_crust_links_lost_total{reason="inactive"} 2.0\n', answer.body)

    def test_promtool_takes_the_text_format(self) -> None:
        promtool = shutil.which("promtool")
        if NO_CLIENT or promtool is None:
            raise SkipTest(NO_CLIENT or "promtool is not installed (Debian has it in the package prometheus)")
        done = subprocess.run(
            [promtool, "check", "metrics"], input=self.ask().body, capture_output=True, check=False
        )
        self.assertEqual((done.returncode, done.stderr), (0, b""))
