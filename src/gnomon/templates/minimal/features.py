"""Bike stations: what is known of each, and what a model that forecasts demand asks for."""

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource
from gnomon.types import Float64, Int64

# What features are about. Its join key is the column that names one: here, station_id.
station = Entity(name="station_id", description="A place to take and leave bikes")

# Where rows come from. Each has two instants: when it was so, and when anybody could first know it.
readings = FileSource(
    name="readings",
    path="data/stations.parquet",
    timestamp_field="event_timestamp",
    created_timestamp_column="created",
)

# The latest reading of each station, as of any instant you ask for. One older than a day says nothing of now.
station_status = FeatureView(
    name="station_status",
    entities=[station],
    source=readings,
    ttl="1d",
    schema=[
        Field(name="bikes", dtype=Int64, description="Bikes that can be taken"),
        Field(name="full_share", dtype=Float64, description="Share of the station's places that hold a bike"),
    ],
)

# What one model asks for, under one name, in training and when it serves.
demand = FeatureService(name="demand", features=[station_status], description="Will a bike be taken?")
