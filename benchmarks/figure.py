"""A figure: what is compared with what, and the goal that the project has set itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from shutil import which

from .subjects import Spawn, Subject

MakeSubject = Callable[[Spawn], Subject]


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One line of the table.

    @ivar name: as the option C{--only} takes it.
    @ivar unit: of both values.
    @ivar goal: for the ratio of ours to the reference's; C{None} if it is only for information.
    @ivar at_most: whether the ratio should be at most the goal, rather than at least.
    @ivar reference: what ours is compared with.
    @ivar needs: the Python package, or the program, of the reference, if it does not come with this library.
    """

    name: str
    what: str
    unit: str
    goal: float | None
    reference: str
    make_ours: MakeSubject
    make_reference: MakeSubject
    at_most: bool = False
    needs: str = ""

    @property
    def can_be_measured(self) -> bool:
        """Whether what it is compared with is installed."""
        return not self.needs or find_spec(self.needs) is not None or which(self.needs) is not None

    def reached(self, ratio: float) -> bool | None:
        """Whether a ratio is good enough; C{None} without a goal."""
        if self.goal is None:
            return None
        return ratio <= self.goal if self.at_most else ratio >= self.goal
