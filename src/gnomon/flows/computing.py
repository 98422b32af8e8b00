"""On-demand features computed: one computation over some rows, the same for training sets and for online answers.

Columns come and go as lists, null as None, instants as µs. What a function gives is cast to the declared types; what is
none of its type, or an exception, spoils only that feature of that row: null, and said to be invalid.

    ready = Ready.of(computation)
    made = ready.run([[12.0, 3.0], [4.0, None]], Rows(2, key=lambda row: {"user_id": row}))
    made.columns, made.invalid          # [[3.0, None]], None
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from gnomon.core.inputs import Unshown
from gnomon.core.outputs import Caster, Misfit, caster
from gnomon.errors import RequestError
from gnomon.flows.row_functions import Odd, Values, found, of_expressions, of_function, safely, shows_of
from gnomon.flows.vectors import frames, vectors
from gnomon.plan.questions import Computation
from gnomon.types import FeatureType, UnixTimestamp

__all__ = ["Made", "Ready", "Rows"]

logger = logging.getLogger("gnomon.on_demand")
TOLD_ALWAYS = 10

Columns = Sequence[Sequence[Any]]


@dataclass(slots=True)
class Rows:
    """The rows that something is computed of.

    Args:
        count: how many there are.
        key: what to call one of them in a message.
        strict: whether a row that cannot be computed is an error.
    """

    count: int
    key: Callable[[int], Mapping[str, Any]]
    strict: bool = False


@dataclass(slots=True)
class Made:
    """What was computed.

    Args:
        columns: a list per feature wanted.
        invalid: for rows that have values which are none, the features; None where no row has.
        first: of the first of these its row and what was wrong.
    """

    columns: list[list[Any]]
    invalid: dict[int, list[int]] | None = None
    first: tuple[int, BaseException] | None = None

    def spoil(self, row: int, places: Sequence[int], wrong: BaseException) -> None:
        """Some features of a row have no value."""
        if self.invalid is None:
            self.invalid = {}
        self.invalid.setdefault(row, []).extend(places)
        if self.first is None or row < self.first[0]:
            self.first = row, wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A computation with its function at hand.

    Args:
        view: the view's name.
        names: what the view calls its inputs.
        features: the features wanted, each once.
        places: for each column wanted the place of its feature; empty where these are the features.
        casts: what casts values to their types, feature by feature.
        shows: what makes values of columns such that a function takes, input by input; none where all are as they are.
        single: whether the view has this one feature only, so that a function may give its value alone.
        values: gives the values of one row; None where the function takes many rows at once.
        together: gives the values of many rows, feature by feature; None where it takes one by one.
        telling: how often there was something to tell: of many requests that go wrong alike, the log has few.
    """

    view: str
    names: tuple[str, ...]
    features: tuple[str, ...]
    places: tuple[int, ...]
    casts: tuple[Caster, ...]
    shows: tuple[Callable[[Any], Any] | None, ...]
    single: bool
    values: Values | None = None
    together: Callable[[Columns, int], list[list[Any]]] | None = None
    telling: Iterator[int] = field(default_factory=lambda: count(1), compare=False)

    @classmethod
    def of(cls, computation: Computation) -> Ready:
        """A computation with its function at hand.

        Raises:
            DefinitionError: the function is not there, or is no longer what was registered.
            MissingExtra: it wants pandas, which is not installed.
        """
        view, mode = computation.view, computation.view.mode
        types = {one.name: one.dtype for one in view.schema}
        names, dtypes = tuple(name for name, _, _ in computation.inputs), [one for _, _, one in computation.inputs]
        wanted = [feature for feature, _ in computation.features]
        features = tuple(dict.fromkeys(wanted))
        made: dict[str, Any] = {}
        if mode == "sql":
            made["values"] = of_expressions(computation, features)
        elif mode == "python":
            made["values"] = of_function(computation)
        else:
            over = vectors if mode == "numpy" else frames
            made["together"] = over(found(computation), names, dtypes, features, len(types) == 1)
        return cls(
            view=view.name,
            names=names,
            features=features,
            places=tuple(map(features.index, wanted)) if len(features) < len(wanted) else (),
            casts=tuple(_cast(mode, types[feature]) for feature in features),
            shows=shows_of(dtypes) if mode == "python" else (),
            single=len(types) == 1,
            **made,
        )

    def run(self, columns: Columns, rows: Rows) -> Made:
        """Compute the features of some rows.

        Args:
            columns: the inputs' values, input by input.
            rows: the rows.

        Raises:
            RequestError: a row cannot be computed, and that is an error.
        """
        made = Made([])
        if self.together is not None:
            made.columns = [[None] * rows.count for _ in self.features]
            self._halves(made, columns, 0, rows.count)
        elif len(self.features) == 1 and self.single:
            made.columns = [self._singly(made, self._shown(columns))]
        else:
            made.columns = self._row_by_row(made, self._shown(columns))
        if made.invalid is not None:
            self._tell(made, columns, rows)
        return self._spread(made) if self.places else made

    def _spread(self, made: Made) -> Made:
        """The same, where a feature is wanted under several names."""
        columns = [made.columns[place] for place in self.places]
        invalid = {
            row: [column for column, place in enumerate(self.places) if place in wrong]
            for row, wrong in (made.invalid or {}).items()
        }
        return Made(columns, invalid or None, made.first)

    def _shown(self, columns: Columns) -> Iterator[tuple[Any, ...]]:
        """The inputs row by row, as functions take them; what cannot be shown is handed on as a value that says so."""
        if not self.shows:
            return zip(*columns, strict=True)
        shown = zip(columns, self.shows, strict=True)
        return zip(*(one if show is None else map(safely(show), one) for one, show in shown), strict=True)

    def _singly(self, made: Made, rows: Iterator[tuple[Any, ...]]) -> list[Any]:
        values, cast = self.values, self.casts[0]
        found: list[Any] = []
        assert values is not None
        name = self.features[0]
        for place, row in enumerate(rows):
            try:
                value = values(row)
                found.append(cast(value[name] if type(value) is dict else value))
            except KeyboardInterrupt:
                raise
            except BaseException as wrong:  # a function may raise anything, SystemExit too
                found.append(None)
                made.spoil(place, (0,), _meant(wrong, row))
        return found

    def _row_by_row(self, made: Made, rows: Iterator[tuple[Any, ...]]) -> list[list[Any]]:
        columns: list[list[Any]] = [[] for _ in self.features]
        everything = range(len(columns))
        assert self.values is not None
        for place, row in enumerate(rows):
            try:
                found = self.values(row)
                if found is not None and not isinstance(found, Mapping):
                    raise Misfit(f"its function gives {found!r:.80}, not a dict with a value for each feature")
            except KeyboardInterrupt:
                raise
            except BaseException as wrong:
                made.spoil(place, everything, _meant(wrong, row))
                found = None
            for number, (name, cast, column) in enumerate(zip(self.features, self.casts, columns, strict=True)):
                try:
                    column.append(None if found is None else cast(found[name]))
                except KeyboardInterrupt:
                    raise
                except BaseException as wrong:
                    column.append(None)
                    made.spoil(place, (number,), wrong)
        return columns

    def _halves(self, made: Made, columns: Columns, start: int, end: int) -> None:
        """Many rows at once; where that fails, half as many, down to the one that cannot be computed."""
        if start == end:
            return
        assert self.together is not None
        try:
            found = self.together([one[start:end] for one in columns], end - start)
        except KeyboardInterrupt:
            raise
        except BaseException as wrong:
            if end - start == 1:
                made.spoil(start, range(len(self.features)), wrong)
                return
            middle = (start + end) // 2
            self._halves(made, columns, start, middle)
            self._halves(made, columns, middle, end)
            return
        for number, (cast, values) in enumerate(zip(self.casts, found, strict=True)):
            for place, value in enumerate(values, start):
                try:
                    made.columns[number][place] = cast(value)
                except Misfit as wrong:
                    made.spoil(place, (number,), wrong)

    def _tell(self, made: Made, columns: Columns, rows: Rows) -> None:
        """Say what was wrong with the first row, as an error or in the log."""
        assert made.first is not None
        row, wrong = made.first
        inputs = {name: one[row] for name, one in zip(self.names, columns, strict=True)}
        key = dict(rows.key(row))
        said = str(wrong) if isinstance(wrong, (Misfit, Unshown)) else f"{type(wrong).__name__}: {wrong}"
        if rows.strict:
            raise RequestError(
                f"on-demand view {self.view!r} cannot be computed for {key!r}: {said}",
                instead=f"Its inputs: {inputs!r}.",
                hint="correct the function or its inputs; without strict=True the value is null, and INVALID.",
                view=self.view,
                key=key,
                inputs=inputs,
            ) from wrong
        told = next(self.telling)
        if told <= TOLD_ALWAYS or str(told).strip("0") == "1":  # 1 to 10, then 100, 1,000, …
            logger.warning(
                "on-demand view %r cannot be computed for %d of %d rows; the first is %r, of inputs %r: %s%s",
                *(self.view, len(made.invalid or ()), rows.count, key, inputs, said),
                "" if told < TOLD_ALWAYS else f" (so it was for {told:,} requests; of the next, few are told)",
            )


def _meant(wrong: BaseException, row: tuple[Any, ...]) -> BaseException:
    """What was wrong: where an input has no form in Python, that and not what became of it."""
    return next((one.wrong for one in row if isinstance(one, Odd)), wrong)


def _cast(mode: str, dtype: FeatureType) -> Caster:
    """Expressions give instants as µs."""
    return _same if mode == "sql" and dtype == UnixTimestamp else caster(dtype)


def _same(value: Any) -> Any:
    return value
