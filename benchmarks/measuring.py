"""Measuring a figure: ours and the reference's samples in turn, their medians and the ratio of these."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from .figure import Figure
from .subjects import Spawn


@dataclass(frozen=True, slots=True)
class Result:
    """
    What came of a figure.

    @ivar ours: the samples of this library, in the order in which they were taken.
    @ivar reference: those of the reference; the n-th was taken right after our n-th.
    @ivar counts: how many operations made one sample, of ours and of the reference.
    """

    figure: Figure
    ours: tuple[float, ...]
    reference: tuple[float, ...]
    counts: tuple[int, int]

    @property
    def ratio(self) -> float:
        """Our median to that of the reference."""
        return median(self.ours) / median(self.reference)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest ratio of two samples taken one after the other."""
        ratios = [ours / reference for ours, reference in zip(self.ours, self.reference, strict=True)]
        return min(ratios), max(ratios)

    def as_json(self) -> dict[str, Any]:
        """Everything, for the file."""
        figure = self.figure
        return {
            "name": figure.name,
            "what": figure.what,
            "unit": figure.unit,
            "reference": figure.reference,
            "goal": figure.goal,
            "goal_is": "at most" if figure.at_most else "at least",
            "ratio": self.ratio,
            "ratio_spread": self.spread,
            "reached": figure.reached(self.ratio),
            "median": {"ours": median(self.ours), "reference": median(self.reference)},
            "samples": {"ours": self.ours, "reference": self.reference},
            "per_sample": {"ours": self.counts[0], "reference": self.counts[1]},
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How much to measure.

    @ivar repeats: how many samples of each side.
    @ivar seconds: about how long a sample takes.
    """

    repeats: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)


def measure(figure: Figure, plan: Plan, spawn: Spawn) -> Result:
    """
    Measure one figure.

    @raise WorkerFailed: a process of ours did not do what it should.
    """
    subjects = (figure.make_ours(spawn), figure.make_reference(spawn))
    samples: tuple[list[float], list[float]] = ([], [])
    try:
        for subject in subjects:
            subject.start()
            subject.calibrate(plan.seconds)
        for _ in range(plan.repeats):
            for subject, taken in zip(subjects, samples, strict=True):
                taken.append(subject.sample())
    finally:
        for subject in subjects:
            subject.stop()
    return Result(figure, tuple(samples[0]), tuple(samples[1]), (subjects[0].count, subjects[1].count))
