"""
What the operator should know of those who may have an exposed program: nobody may, or a nickname or tag
stands for nobody who is known here. It may stand for somebody later, so this is no error.
"""

from __future__ import annotations

from ...routing.naming.directory import Allowance


def allow_notes(allowed: Allowance) -> tuple[str, ...]:
    """A line for each thing that may not be meant so."""
    if not allowed.texts:
        return ("nobody may use it yet: say who may, with --allow NAME",)
    return (
        *(f"nobody is known here as {each!r}{near}" for each, near in allowed.unmet_nicknames()),
        *(f"no member that is known here has the tag {each!r}" for each in allowed.unmet_tags()),
    )
