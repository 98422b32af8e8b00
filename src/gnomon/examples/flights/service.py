"""A model service with gnomon inside: asked about a flight, it reads features itself and says how likely it is late.

    python service.py                 # in the example's folder; learns, loads, and serves at http://127.0.0.1:8000/docs

    curl localhost:8000/predict -H 'content-type: application/json' -d '[{"tailnum": "N755EV", "carrier": "EV",
        "origin": "LGA", "dest": "ROC", "scheduled_departure": "2013-12-31T19:05:00-05:00", "distance": 254}]'

What the request says of the flight goes into `at_departure`, the function that made the training set. Features are read
in this process, in tens of microseconds; whoever wants them by themselves finds gnomon's own routes below /features.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import pyarrow as pa
from fastapi import FastAPI
from pydantic import BaseModel, Field

import gnomon.server
from gnomon import FeatureStore
from gnomon.examples.flights import train
from gnomon.examples.flights.train import THEN, Model, training_set

__all__ = ["FACTS", "SERVICE", "Flight", "Prediction", "learned", "service"]

SERVICE = "late_arrival_asked"
FACTS = ("distance", *train.CATEGORIES)
"""What the model is told as it stands; the hour and the weekday are features now."""


class Flight(BaseModel):
    """A flight that is about to leave."""

    tailnum: str | None
    carrier: str
    origin: str
    dest: str
    scheduled_departure: datetime
    distance: Annotated[int, Field(ge=0, description="Miles")]


class Prediction(BaseModel):
    """What is expected of it."""

    late: Annotated[float, Field(description="How likely it arrives more than 30 minutes late, 0 to 1")]
    features: dict[str, Any]


def learned(store: FeatureStore) -> Model:
    """The model, fitted on what was known at each departure of January to September."""
    return Model.fitted(training_set(store, THEN, SERVICE), FACTS)


def service(store: FeatureStore, model: Model) -> FastAPI:
    """The model service.

    Args:
        store: has the features, its definitions applied and its online store loaded.
        model: what `learned` gave.
    """
    app = FastAPI(title="Late arrivals")
    app.mount("/features", gnomon.server.app(store))

    @app.post("/predict")
    def predict(flights: list[Flight]) -> list[Prediction]:
        rows = [flight.model_dump() for flight in flights]
        if not rows:
            return []
        features = store.get_online_features(SERVICE, rows, full_feature_names=True).to_arrow()
        keys = set(features.column_names)
        asked = pa.Table.from_pylist([{name: row[name] for name in FACTS if name not in keys} for row in rows])
        for name in asked.column_names:
            features = features.append_column(name, asked[name])
        likely = model.likely(features)
        named = [name for name in features.column_names if "__" in name]
        told = features.select(named).to_pylist()
        return [Prediction(late=one, features=values) for one, values in zip(likely, told, strict=True)]

    return app


def main() -> None:
    """Learn, load what is known, and serve."""
    import uvicorn

    with FeatureStore(".") as store:
        store.apply()
        model = learned(store)
        store.materialize_incremental()
        uvicorn.run(service(store, model), port=8000)


if __name__ == "__main__":
    main()
