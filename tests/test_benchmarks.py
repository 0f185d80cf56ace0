"""The benchmark runs and writes what it should; how fast anything is, is not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from benchmarks import simulated
from benchmarks.figures import FIGURES
from benchmarks.first_messages import FirstMessages, SessionHandshakes
from benchmarks.forwarding.subjects import (
    ForwardedOpens,
    RelayCpu,
)
from benchmarks.measuring import Plan, Result, measure
from benchmarks.processes import Worker, WorkerFailed
from benchmarks.simulated import Calls, Simulation
from benchmarks.stream_subjects import Bulk, Fastest, Latency, Opens, Slowest
from benchmarks.subjects import Spawn, Subject
from benchmarks.survival import BulkCpu

from .integration.programs import find

ROOT = Path(__file__).resolve().parent.parent


class Steady(Subject):
    """Takes the values it is given."""

    def __init__(self, spawn: Spawn, values: list[float], log: list[str], name: str) -> None:
        super().__init__(spawn, name)
        self.values = iter(values)
        self.log = log

    def start(self) -> None:
        self.log.append(f"start {self._actor}")

    def calibrate(self, seconds: float) -> None:
        self.count = 10

    def sample(self) -> float:
        self.log.append(f"sample {self._actor}")
        return next(self.values)

    def stop(self) -> None:
        self.log.append(f"stop {self._actor}")


class FigureTests(SynchronousTestCase):
    """What is made of the samples."""

    def measure(self, ours: list[float], reference: list[float], log: list[str]) -> Result:
        figure = next(each for each in FIGURES if each.name == "frames-64")
        changed = type(figure)(
            figure.name,
            figure.what,
            figure.unit,
            figure.goal,
            figure.reference,
            lambda spawn: Steady(spawn, ours, log, "ours"),
            lambda spawn: Steady(spawn, reference, log, "reference"),
        )
        return measure(changed, Plan(repeats=len(ours), seconds=1.0), Worker)

    def test_samples_of_both_sides_are_taken_in_turn_and_both_are_stopped(self) -> None:
        log: list[str] = []
        self.measure([1.0, 2.0], [3.0, 4.0], log)
        samples = ["sample ours", "sample reference"] * 2
        starts = ["start ours", "start reference"]
        self.assertEqual(log, [*starts, *samples, "stop ours", "stop reference"])

    def test_both_are_stopped_when_one_fails(self) -> None:
        """A failure leaves no process behind."""
        log: list[str] = []
        self.assertRaises(StopIteration, self.measure, [1.0, 2.0], [3.0], log)
        self.assertEqual(log[-2:], ["stop ours", "stop reference"])

    def test_ratio_is_of_the_medians(self) -> None:
        """One sample that is far off does not move the ratio, but it shows in the spread."""
        result = self.measure([20.0, 900.0, 22.0], [10.0, 11.0, 11.0], [])
        self.assertEqual(result.ratio, 2.0)
        self.assertEqual(result.spread, (2.0, 900.0 / 11))
        self.assertIs(result.as_json()["reached"], True)

    def test_rates_must_reach_a_goal_and_memory_must_stay_below_it(self) -> None:
        """Rates should be high and memory low; without a goal there is no verdict."""
        figures = {each.name: each for each in FIGURES}
        self.assertIs(figures["frames-64"].reached(1.89), False)
        self.assertIs(figures["frames-64"].reached(1.9), True)
        self.assertIs(figures["memory-client"].reached(0.81), False)
        self.assertIs(figures["memory-client"].reached(0.5), True)
        self.assertIsNone(figures["set-ups-crust"].reached(0.1))

    def test_figure_whose_reference_is_not_installed_is_left_out(self) -> None:
        """A figure whose reference is another package is left out where that is missing."""
        figure = FIGURES[0]
        self.assertTrue(figure.can_be_measured)
        self.assertTrue(replace(figure, needs="json").can_be_measured)
        self.assertFalse(replace(figure, needs="no_such_package").can_be_measured)


class WorkerTests(SynchronousTestCase):
    """The handle on a worker process."""

    def worker(self, actor: str) -> Worker:
        worker = Worker(actor, "part", 0)
        self.addCleanup(worker.stop)
        return worker

    def test_error_in_the_worker_is_raised_here_and_the_worker_goes_on(self) -> None:
        """An error in the worker is raised here, with its traceback, and the worker goes on."""
        worker = self.worker("ed25519")
        error = self.assertRaises(WorkerFailed, worker.call, "dance")
        self.assertIn("do_dance", str(error))
        self.assertGreater(worker.call("ask", size=64, count=2, window=1), 0)

    def test_answer_that_does_not_come_is_an_error_after_a_while(self) -> None:
        worker = self.worker("ed25519")
        answered = worker.begin("ask", size=64, count=1, window=1)
        worker.result(answered)
        self.assertRaises(WorkerFailed, worker.result, answered, 0.01)


class ForwardTests(SynchronousTestCase):
    """Forwards of ours and of others carry the same, at sizes that say nothing of their speed."""

    def carries(self, actor: str) -> None:
        """Everything that is measured over connections to an echo, with the processes of one subject."""
        subject = ForwardedOpens(Worker, actor)
        self.addCleanup(subject.stop)
        subject.start()
        subject.count = 2
        self.assertGreater(subject.sample(), 0)
        self.assertGreater(subject.client.call("echo", count=2, beside=False), 0)
        self.assertGreater(subject.cpu(), 0)

    def test_our_forward_runs_every_measurement(self) -> None:
        self.carries("forward-ours")

    def test_our_forward_is_measured_through_a_relay(self) -> None:
        """The blocks of this subject are those of all that send much."""
        subject = RelayCpu(Worker, "forward-ours")
        self.addCleanup(subject.stop)
        subject.start()
        subject.count = 1
        self.assertGreaterEqual(subject.sample(), 0)

    def test_high_rate_of_the_first_connections_makes_no_long_sample(self) -> None:
        subject = ForwardedOpens(Worker, "forward-ours")
        self.patch(subject, "sample", lambda: 1e6)
        subject.calibrate(1.0)
        self.assertEqual(subject.count, ForwardedOpens.first_guess)

    def test_ssh_runs_every_measurement(self) -> None:
        if find("sshd") is None or find("ssh") is None:
            raise SkipTest("no ssh here: apt-get install openssh-server openssh-client")
        self.carries("forward-ssh")

    def test_socat_runs_every_measurement(self) -> None:
        if find("socat") is None:
            raise SkipTest("no socat here: apt-get install socat")
        self.carries("forward-socat")


class StreamTests(SynchronousTestCase):
    """Streams of ours and bare connections do the same, at sizes that say nothing of their speed."""

    def test_streams_and_bare_connections_run_every_measurement(self) -> None:
        for actor in ("streams", "bare-streams"):
            bulk = Bulk(Worker, actor, 3)
            self.begin(bulk)
            for kind in (Bulk, Slowest, Fastest):
                bulk.rate = kind.rate  # all that they differ in
                value = bulk.sample()
                if kind is Slowest:
                    self.assertTrue(0 < value <= 1)
                else:
                    self.assertGreaterEqual(value, 1 if kind is Fastest else 0)
            bulk.stop()
            for subject in (Opens(Worker, actor), Latency(Worker, actor, actor == "streams")):
                self.begin(subject)
                self.assertGreater(subject.sample(), 0)
                subject.stop()

    def test_streams_whose_sessions_keep_nothing_carry_the_same(self) -> None:
        """More than a stream's windows, so that what comes would be acknowledged if it were kept."""
        for actor in ("streams", "passing-streams"):
            subject = BulkCpu(Worker, actor)
            self.begin(subject)
            subject.count = 64
            self.assertGreater(subject.sample(), 0)
            subject.stop()

    def begin(self, subject: Subject) -> None:
        self.addCleanup(subject.stop)
        subject.start()
        subject.count = 6


class FirstMessageTests(SynchronousTestCase):
    """First messages, and the handshake that they wait for."""

    def test_each_sample_is_of_nodes_that_were_never_sent_to(self) -> None:
        for subject in (FirstMessages(Worker, 64), SessionHandshakes(Worker)):
            self.addCleanup(subject.stop)
            subject.start()
            subject.count = 2
            for _ in range(2):
                self.assertGreater(subject.sample(), 0)


class SimulationTests(SynchronousTestCase):
    """The simulated network's subjects do what they say, at sizes that say nothing of their speed."""

    def test_every_measurement_of_the_simulation_runs(self) -> None:
        self.patch(simulated, "NODES", 4)
        network = Simulation(Worker, "messages")
        for subject in (Calls(Worker, True, 10), Calls(Worker, False, 10), network):
            self.addCleanup(subject.stop)
            subject.start()
            subject.count = 3
            self.assertGreater(subject.sample(), 0)
        self.assertGreater(network._workers[0].call("events", count=10), 0)


class CommandTests(SynchronousTestCase):
    """The command itself, in a process of its own."""

    def test_one_figure_is_measured_on_both_sides_and_its_samples_are_saved(self) -> None:
        path = Path(self.mktemp())
        command = [sys.executable, "-m", "benchmarks", "--quick", "--repeats", "2", "--only", "frames-64"]
        done = subprocess.run(
            [*command, "--json", str(path.absolute())],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        heading, line = done.stdout.splitlines()
        self.assertTrue(heading.startswith("figure"))
        self.assertTrue(line.startswith("frames-64 "))
        report = json.loads(path.read_text())
        self.assertEqual(set(report), {"format", "taken", "plan", "machine", "versions", "figures"})
        self.assertEqual(report["plan"], {"repeats": 2, "seconds": 0.2})
        self.assertIn("Twisted", report["versions"])
        (figure,) = report["figures"]
        self.assertEqual((figure["name"], figure["goal"], figure["goal_is"]), ("frames-64", 1.9, "at least"))
        for side in ("ours", "reference"):
            self.assertEqual(len(figure["samples"][side]), 2)
            self.assertTrue(all(rate > 0 for rate in figure["samples"][side]))
            self.assertGreater(figure["per_sample"][side], 0)
        self.assertGreater(figure["ratio"], 0)

    def test_unknown_figure_or_no_samples_ends_with_the_valid_choices(self) -> None:
        for wrong in (["--only", "speed"], ["--repeats", "0"]):
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks", *wrong],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual(done.returncode, 2)
            self.assertIn(wrong[0], done.stderr)
