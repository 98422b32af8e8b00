"""What `verify` found: how many answers are what history says, and of the others, why."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from gnomon.clock import duration_text, instant_text

__all__ = ["CAUSES", "Cause", "Difference", "VerifyReport", "ViewVerdict", "explaining"]

Cause = str

SECOND = 1_000_000

CAUSES: Mapping[Cause, str] = {
    "store lag": "known, and not yet loaded",
    "not loaded": "the view was never loaded, or a load was running",
    "expired": "the store lets rows expire, and this one has",
    "other version": "the definition changed since the load",
    "online-only": "events were pushed that no history has",
    "source changed": "files changed since they were loaded",
    "events gone": "events of the log were trimmed or erased since",
    "disagreement": "none of these: online and history differ",
}
"""Why an answer may be another than the one made again from history, and what that means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An answer that history does not give again.

    Args:
        feature: `view@version:feature`.
        entity: its join keys.
        at: as of which instant it was given, µs.
        known_through: the token of what it knew.
        served: the value that was served.
        status: its status.
        recomputed: the value that history gives.
        cause: one of `CAUSES`.
        explain: the command line that shows the events behind it.
    """

    feature: str
    entity: Mapping[str, Any]
    at: int
    known_through: str
    served: Any
    status: str
    recomputed: Any
    cause: Cause
    explain: str

    def __str__(self) -> str:
        key = " ".join(f"{name}={value}" for name, value in self.entity.items())
        return "\n    ".join(
            [
                f"{self.feature} {key} at {instant_text(self.at)} ({self.cause}):",
                f"served      {self.served!r} {self.status}",
                f"recomputed  {self.recomputed!r}",
                self.explain,
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewVerdict:
    """What became of the answers about one view.

    Args:
        view: `name@version`.
        entities: how many entities were asked, as often as they were.
        compared: how many answers there were: one per entity and feature.
        agreed: how many history gives again, to the bit.
        filled: how many are not empty: neither null nor a count of nothing.
        lagging: how many agree, and would be others if all that was known then had been applied.
        behind: how many events of the log were stamped and not applied, at most.
        behind_micros: for how long, at most, µs.
        causes: why the others do not agree.
    """

    view: str
    entities: int
    compared: int
    agreed: int
    filled: int
    lagging: int = 0
    behind: int = 0
    behind_micros: int = 0
    causes: Mapping[Cause, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What `verify` found.

    Args:
        views: a verdict per view.
        differences: the first hundred answers that do not agree, disagreements first.
        unread: the views that cannot be read online, as their definition changed since they were loaded.
        questions: how many questions history was asked.
    """

    views: tuple[ViewVerdict, ...]
    differences: tuple[Difference, ...] = ()
    unread: tuple[str, ...] = ()
    questions: int = 0

    @property
    def compared(self) -> int:
        """How many answers were compared: one per entity and feature."""
        return sum(one.compared for one in self.views)

    @property
    def agreed(self) -> int:
        """How many of them history gives again, to the bit."""
        return sum(one.agreed for one in self.views)

    @property
    def filled(self) -> float:
        """The share that is not empty: neither null nor a count of nothing."""
        return sum(one.filled for one in self.views) / self.compared if self.compared else 0.0

    @property
    def lagging(self) -> int:
        """How many agree, and would be others if all that was known then had been applied."""
        return sum(one.lagging for one in self.views)

    @property
    def causes(self) -> dict[Cause, int]:
        """Why the others do not agree."""
        found: Counter[Cause] = Counter()
        for one in self.views:
            found.update(one.causes)
        return {cause: found[cause] for cause in CAUSES if found[cause]}

    @property
    def disagreements(self) -> int:
        """How many differ for no cause that may be."""
        return self.causes.get("disagreement", 0)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "compared": self.compared,
            "agreed": self.agreed,
            "disagreements": self.disagreements,
            "filled": self.filled,
            "lagging": self.lagging,
            "causes": self.causes,
            "unread": list(self.unread),
            "questions": self.questions,
            "views": [asdict(one) for one in self.views],
            "differences": [asdict(one) for one in self.differences],
        }

    def __str__(self) -> str:
        lines = [
            f"{self.agreed} of {self.compared} answers are what history gives again, bit by bit "
            f"({self.filled:.0%} not empty; {self.questions} questions)."
        ]
        if not self.compared:
            lines = ["Nothing to verify: no entity was found."] if not self.unread else []
        lines += [f"{view} cannot be read: its definition changed since it was loaded." for view in self.unread]
        lines += [f"  {_lag_of(one)}" for one in self.views if one.lagging]
        lines += [f"  {count} × {cause}: {CAUSES[cause]}" for cause, count in self.causes.items()]
        return "\n".join([*lines, *(f"  {one}" for one in self.differences[:3])])


def _lag_of(one: ViewVerdict) -> str:
    micros = one.behind_micros if one.behind_micros < SECOND else round(one.behind_micros / SECOND) * SECOND
    late = duration_text(timedelta(microseconds=micros))
    events = f"events of the log ({one.behind} at most)" if one.behind else "rows of files"
    return f"{one.view}: {one.lagging} would be others with all that was known then: {events}, up to {late} behind."


def explaining(feature: str, entity: Mapping[str, Any], at: int, token: str) -> str:
    """The command line that shows the events behind an answer."""
    keys = [f"{name}={value}" for name, value in entity.items()]
    return shlex.join(["gnomon", "explain", feature, *keys, "--at", instant_text(at), "--as-known", token])


def merged(causes: Iterable[Cause]) -> dict[Cause, int]:
    """How often each cause stands."""
    counted = Counter(causes)
    return {cause: counted[cause] for cause in CAUSES if counted[cause]}
