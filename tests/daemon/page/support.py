"""A service that a page can be made for, without a network."""

from __future__ import annotations

from typing import Any

from routing_crust.names import Name
from routing_crust.routing.reporting.explain import Explanation
from routing_crust.routing.state import State

from ..fakes import FakeService
from .sample import SampleSource


class SampleService(FakeService):
    """A running node, as C{sample} has it."""

    def __init__(self, source: SampleSource | None = None) -> None:
        super().__init__()
        self.source = source or SampleSource()
        self.state = State.DISCONNECTED if self.source.alone else State.CONNECTED
        self.running = True

    def status(self) -> dict[str, Any]:
        return self.source.status()

    def explain(self, name: Name | str) -> Explanation:
        return self.source.explain(self.name_of(name))
