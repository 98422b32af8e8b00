"""Features of flights as they become known: views that are fed event by event, in place of files loaded now and then.

The events are those of `arrivals`. They are pushed, or read from a Kafka topic; the views are the same.
"""

from __future__ import annotations

from typing import Any

from gnomon import Entity, FeatureService, FeatureView, Field, JsonFormat, KafkaSource, PushSource, agg
from gnomon.types import Bool, Int64, String, UnixTimestamp

__all__ = ["SERVICE", "SOURCE", "definitions", "of_topic", "pushed"]

SOURCE, SERVICE = "flight_events", "flight_live"

EVENT = [
    Field("flight_id", Int64, description="Which flight: what is told later corrects what was told earlier"),
    Field("tailnum", String),
    Field("carrier", String),
    Field("origin", String),
    Field("dest", String),
    Field("scheduled_departure", UnixTimestamp),
    Field("status", String, description="announced, left, landed, diverted or cancelled"),
    Field("dep_delay", Int64, description="Minutes late away from the gate; null until it leaves"),
    Field("arr_delay", Int64, description="Minutes late at the gate: a guess when it leaves, right when it lands"),
    Field("late", Bool, description="Whether that is more than 30; null as long as nobody can say"),
    Field("operation", String, description="delete for one that was called off"),
]
TELLS: Any = {"timestamp_field": "scheduled_departure", "event_id": "flight_id", "operation": "operation"}


def pushed() -> PushSource:
    """The events, pushed."""
    return PushSource(name=SOURCE, schema=EVENT, **TELLS)


def of_topic(servers: str, topic: str) -> KafkaSource:
    """The events, read from a topic, an object in JSON each, its instants in µs.

    Args:
        servers: "host:port" of the broker.
        topic: the topic.
    """
    return KafkaSource(
        name=SOURCE,
        schema=EVENT,
        kafka_bootstrap_servers=servers,
        topic=topic,
        message_format=JsonFormat(instants="us"),
        **TELLS,
    )


def definitions(source: PushSource) -> list[Any]:
    """Three windowed views and a row view of a source, and the service that has all of them.

    A plane seldom leaves New York twice within hours, so that its windows are the longer ones.

    Args:
        source: where the events come from.
    """
    home, airline = Entity(name="home", join_keys=["origin"]), Entity(name="airline", join_keys=["carrier"])
    plane = Entity(name="plane", join_keys=["tailnum"])
    views = [
        _windowed("home_live", home, source, ["1h", "3h", "1d", "7d"], last="3h"),
        _windowed("airline_live", airline, source, ["1h", "3h", "1d", "7d"], last="3h"),
        _windowed("plane_live", plane, source, ["1d", "7d"], last="7d"),
        FeatureView(
            name="plane_status",
            entities=[plane],
            source=source,
            schema=[Field(name, String) for name in ("status", "origin", "dest")],
        ),
    ]
    return [*views, FeatureService(name=SERVICE, features=views)]


def _windowed(name: str, entity: Entity, source: PushSource, windows: list[str], last: str) -> FeatureView:
    """How many flights there were, how late, where to."""
    aggregations = [
        agg.count(over=windows, name="flights"),
        agg.mean("dep_delay", over=windows),
        agg.mean("late", over=windows, name="share_late"),
        agg.last_n("arr_delay", 5, over=last, name="last_delays"),
        agg.count_distinct("dest", over=windows, name="destinations"),
    ]
    return FeatureView(name=name, entities=[entity], source=source, aggregations=aggregations)
