"""The report: a table for people, JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import ssl
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from .measuring import Plan, Result

_PACKAGES: Final = ("Twisted", "pyOpenSSL", "cryptography", "service-identity", "msgspec")
_COLUMNS: Final = "{:<15} {:>12} {:>12} {:<9} {:>7} {:>13} {:>7}  {}"
HEADING: Final = _COLUMNS.format("figure", "ours", "reference", "", "ratio", "from - to", "goal", "")


def line(result: Result) -> str:
    """One result as a line under L{HEADING}."""
    figure = result.figure
    least, greatest = result.spread
    verdict = {True: "reached", False: "NOT REACHED", None: ""}[figure.reached(result.ratio)]
    goal = "" if figure.goal is None else f"{'<=' if figure.at_most else '>='} {figure.goal:.2f}"
    return _COLUMNS.format(
        figure.name,
        _number(median(result.ours)),
        _number(median(result.reference)),
        figure.unit,
        f"{result.ratio:.2f}",
        f"{least:.2f} - {greatest:.2f}",
        goal,
        f"{verdict}  ({figure.what}; against {figure.reference})".strip(),
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def write_json(path: Path, plan: Plan, results: Sequence[Result]) -> None:
    """Write all samples, and what they were taken with."""
    report = {
        "format": 1,
        "taken": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "plan": plan.as_json(),
        "machine": _machine(),
        "versions": _versions(),
        "figures": [each.as_json() for each in results],
    }
    path.write_text(json.dumps(report, indent=1) + "\n")


def _machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for each in info.read_text().splitlines():
            if each.startswith("model name"):
                return each.partition(":")[2].strip()
    return platform.processor()


def _versions() -> dict[str, str]:
    found = {each: version(each) for each in _PACKAGES}
    return {"Python": platform.python_version(), "OpenSSL": ssl.OPENSSL_VERSION, **found}
