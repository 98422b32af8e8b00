"""The same model on training sets that differ in what a flight's row may see, with two services' features.

    cd flights && gnomon apply && python train.py       # needs data/, which prepare(Path("data")) of data.py writes

A model fitted on rows that saw the future scores well on rows that saw it too. What counts is how it does on the rows
that serving will hand it, and those saw nothing that was not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gnomon import FeatureStore

__all__ = ["JOINS", "SERVICES", "Join", "Model", "Score", "held_out", "score_lines", "training_set"]

SERVICES = {"late_arrival": "last flights", "late_arrival_windows": "windows"}
"""What a flight's row says of earlier flights, by the service that has it."""

LAST_TRAINING_MONTH = 9
"""January to September to learn from, October to December held out, by New York's calendar."""
EVERY = 2
"""Of the flights to learn from, every second one: it takes half the time, and costs little."""

SPINE = """
    select flight_id, {instant} as event_timestamp, tailnum, carrier, origin, dest, distance, scheduled_departure,
        hour(local) as hour, isodow(local) as weekday, month(local) as month, arr_delay > 30 as late
    from (select *, timezone('America/New_York', scheduled_departure) as local from 'data/flights.parquet')
    order by flight_id
"""
DAY_END = "timezone('America/New_York', date_trunc('day', local) + interval 1 day) - interval 1 microsecond"

FACTS = ("hour", "weekday", "distance", "carrier", "origin", "dest")
"""What the request itself says of a flight."""

CATEGORIES = ("carrier", "origin", "dest")


@dataclass(frozen=True, slots=True)
class Join:
    """One way to make the training set.

    Args:
        name: what it is called here.
        meaning: what a flight's row sees, for people.
        instant: the instant of each flight's row, as SQL.
        as_known: how much hindsight.
    """

    name: str
    meaning: str
    instant: str
    as_known: Literal["now", "then"]


JOINS = (
    Join("naive", "what the tables say at the end of the flight's day", DAY_END, "now"),
    Join("event time", "what had happened by its departure, known or not", "scheduled_departure", "now"),
    Join("then", "what was known at its departure", "scheduled_departure", "then"),
)

THEN = JOINS[-1]


def training_set(store: FeatureStore, join: Join, service: str) -> pa.Table:
    """Every flight of the year with its features; `late` is null for those that never arrived."""
    spine = SPINE.format(instant=join.instant)
    asked = store.get_historical_features(spine, service, as_known=join.as_known, full_feature_names=True)
    return asked.to_arrow()


def held_out(table: pa.Table) -> pa.Table:
    """The flights no model was fitted on."""
    return table.filter(pc.greater(table["month"], LAST_TRAINING_MONTH))


@dataclass(frozen=True, slots=True)
class Model:
    """A fitted classifier, and how a table becomes its input.

    Args:
        classifier: scikit-learn's.
        columns: the input's columns, in order.
        categories: for each column of categories, those it was fitted on; any other is missing to it.
    """

    classifier: Any
    columns: tuple[str, ...]
    categories: Mapping[str, pa.Array]

    @classmethod
    def fitted(cls, table: pa.Table, facts: Sequence[str] = FACTS) -> Model:
        """A model of `late`, learned from labelled flights of the training months.

        Args:
            table: a training set.
            facts: columns of its spine that the model looks at, besides all features.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier
        from threadpoolctl import threadpool_limits

        seen = labelled(table.filter(pc.less_equal(table["month"], LAST_TRAINING_MONTH)))
        seen = seen.take(pa.array(np.arange(0, seen.num_rows, EVERY)))
        # No plane has landed within an hour of its departure, so "then" knows of none: nothing to learn from.
        known = (name for name in table.column_names if "__" in name and seen[name].null_count < seen.num_rows)
        columns = (*facts, *known)
        classifier = HistGradientBoostingClassifier(
            max_iter=25,
            learning_rate=0.3,
            max_leaf_nodes=31,
            min_samples_leaf=100,
            early_stopping=False,
            random_state=0,
            categorical_features=[name in CATEGORIES for name in columns],
        )
        model = cls(classifier, columns, {name: pc.unique(seen[name]).sort() for name in CATEGORIES})
        # One thread: where other programs hold a core, OpenMP's threads wait for each other more than they work.
        with threadpool_limits(limits=1):
            classifier.fit(model.inputs(seen), seen["late"].to_numpy())
        return model

    def inputs(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """float64, one row per flight; null is NaN, and a category its place among those known."""
        made = np.empty((table.num_rows, len(self.columns)), order="F")
        for place, name in enumerate(self.columns):
            column = table[name]
            if name in self.categories:
                column = pc.index_in(column, self.categories[name])
            made[:, place] = column.cast(pa.float64()).to_numpy()
        return made

    def likely(self, table: pa.Table) -> npt.NDArray[np.float64]:
        """How likely each flight of a table is late, 0 to 1."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1):
            found: npt.NDArray[np.float64] = self.classifier.predict_proba(self.inputs(table))[:, 1]
        return found

    def auc(self, table: pa.Table) -> float:
        """Area under the ROC curve over the labelled flights of a table: 0.5 is guessing, 1 is knowing."""
        from sklearn.metrics import roc_auc_score

        rows = labelled(table)
        return float(roc_auc_score(rows["late"].to_numpy(), self.likely(rows)))


def labelled(table: pa.Table) -> pa.Table:
    """The flights of which it is known whether they were late."""
    return table.filter(pc.is_valid(table["late"]))


@dataclass(frozen=True, slots=True)
class Score:
    """How the model of one service and join does on the held-out months.

    Args:
        service: the service's name.
        join: the join's name.
        in_training: AUC on rows of its own join: what a notebook would have said.
        as_served: AUC of the same model on rows of the join "then": what it is given once it serves.
    """

    service: str
    join: str
    in_training: float
    as_served: float

    @classmethod
    def of(cls, service: str, join: Join, model: Model, own: pa.Table, then: pa.Table) -> Score:
        """Score a model on its own join and on `then`."""
        as_served = model.auc(held_out(then))
        return cls(service, join.name, as_served if own is then else model.auc(held_out(own)), as_served)


def score_lines(scores: Sequence[Score]) -> list[str]:
    """A line per join, with two columns per service."""
    by_place = {(one.join, one.service): one for one in scores}
    pairs = [[by_place[join.name, service] for service in SERVICES] for join in JOINS]
    titles = (f"{'':<12}" + "".join(f"{title:^25}" for title in SERVICES.values())).rstrip()
    return [
        titles,
        f"{'join':<12}" + f"{'in training':>13}{'as served':>12}" * len(SERVICES),
        *(
            f"{row[0].join:<12}" + "".join(f"{one.in_training:>13.3f}{one.as_served:>12.3f}" for one in row)
            for row in pairs
        ),
    ]


def main() -> None:
    """Make the sets, keep them in `training/SERVICE/`, and print the scores."""
    scores: list[Score] = []
    for service in SERVICES:
        folder = Path("training") / service
        folder.mkdir(parents=True, exist_ok=True)
        with FeatureStore(".") as store:
            tables = {join: training_set(store, join, service) for join in JOINS}
        for join, table in tables.items():
            pq.write_table(table, folder / f"{join.name.replace(' ', '_')}.parquet")
            scores.append(Score.of(service, join, Model.fitted(table), table, tables[THEN]))
    print("\n".join(score_lines(scores)))


if __name__ == "__main__":
    main()
