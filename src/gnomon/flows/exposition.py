"""The text that Prometheus reads: families of samples, each with labels.

>>> asked = Family("shop_requests_total", "counter", "Requests.", [Sample(3, {"route": "/push"})])
>>> print(exposition([asked]), end="")
# HELP shop_requests_total Requests.
# TYPE shop_requests_total counter
shop_requests_total{route="/push"} 3
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CONTENT_TYPE", "NO_LABELS", "Family", "Sample", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_LABELS: Mapping[str, object] = {}


class Sample(NamedTuple):
    """One number.

    Args:
        value: the number.
        labels: what it is of.
        suffix: what is added to the family's name: `_bucket`, `_sum` or `_count` of a histogram.
    """

    value: float
    labels: Mapping[str, object] = NO_LABELS
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """Numbers of one name.

    Args:
        name: the name.
        kind: `counter`, `gauge` or `histogram`.
        words: what they are.
        samples: the numbers.
    """

    name: str
    kind: str
    words: str
    samples: Iterable[Sample]


def exposition(families: Iterable[Family]) -> str:
    """The text of some families."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.words}"
    yield f"# TYPE {family.name} {family.kind}"
    for value, labels, suffix in family.samples:
        told = ",".join(f'{key}="{_escaped(one)}"' for key, one in labels.items())
        yield f"{family.name}{suffix}{f'{{{told}}}' if told else ''} {value}"


def _escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
