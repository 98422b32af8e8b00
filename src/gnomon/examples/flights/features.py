"""What may be known of a flight before it leaves: the last flights of its plane, carrier and route; weather; airports.

Three views stand on the same file of flights under different keys. Its rows carry both clocks: a flight happens at its
scheduled departure, and how late it was is known when it arrives.
"""

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource
from gnomon.types import Float64, Int64, String

plane = Entity(name="plane", join_keys=["tailnum"], value_type=String, description="An aircraft")
lane = Entity(name="lane", join_keys=["carrier", "origin"], value_type=String, description="A carrier at an airport")
route = Entity(name="route", join_keys=["origin", "dest"], value_type=String, description="From one airport to another")
station = Entity(name="station", join_keys=["origin"], value_type=String, description="A New York airport's weather")
airport = Entity(name="airport", join_keys=["faa"], value_type=String, description="An airport by its FAA code")

# There is no instant at which the departure delay alone became known: both delays of a row wait for its arrival.
flights = FileSource(
    name="flights",
    path="data/flights.parquet",
    timestamp_field="scheduled_departure",
    created_timestamp_column="arrived_at",
)
weather_reports = FileSource(
    name="weather_reports",
    path="data/weather.parquet",
    timestamp_field="time_hour",
    created_timestamp_column="published_at",
)
# Facts without a date of their own. A delay of zero says: known as soon as they hold, which is before the first flight.
planes = FileSource(name="planes", path="data/planes.parquet", timestamp_field="valid_from", delay="0s")
airports = FileSource(name="airports", path="data/airports.parquet", timestamp_field="valid_from", delay="0s")

delays = [
    Field(name="arr_delay", dtype=Int64, description="Minutes late at the gate; null if it never arrived"),
    Field(name="dep_delay", dtype=Int64, description="Minutes late away from the gate; null if it never left"),
]
plane_last_flight = FeatureView(name="plane_last_flight", entities=[plane], source=flights, schema=delays)
lane_last_flight = FeatureView(name="lane_last_flight", entities=[lane], source=flights, schema=delays)
route_last_flight = FeatureView(name="route_last_flight", entities=[route], source=flights, schema=delays)

weather = FeatureView(
    name="weather",
    entities=[station],
    source=weather_reports,
    schema=[
        Field(name="temp", dtype=Float64, description="°F"),
        Field(name="humid", dtype=Float64, description="Relative humidity, %"),
        Field(name="wind_speed", dtype=Float64, description="Miles an hour"),
        Field(name="precip", dtype=Float64, description="Inches in that hour"),
        Field(name="pressure", dtype=Float64, description="Millibars at sea level"),
        Field(name="visib", dtype=Float64, description="Miles"),
    ],
)
plane_facts = FeatureView(
    name="plane_facts",
    entities=[plane],
    source=planes,
    schema=[Field(name="year", dtype=Int64, description="Year of manufacture"), Field(name="seats", dtype=Int64)],
)
airport_facts = FeatureView(
    name="airport_facts",
    entities=[airport],
    source=airports,
    schema=[
        Field(name="lat", dtype=Float64, description="Degrees north"),
        Field(name="lon", dtype=Float64, description="Degrees east"),
        Field(name="alt", dtype=Int64, description="Feet above the sea"),
    ],
)

# A flight has two airports: one view, used twice, each time under its own name and by its own column.
from_airport = airport_facts.with_name("from_airport").with_join_key_map({"faa": "origin"})
to_airport = airport_facts.with_name("to_airport").with_join_key_map({"faa": "dest"})

late_arrival = FeatureService(
    name="late_arrival",
    description="Will it arrive more than 30 minutes late? Asked at its scheduled departure",
    features=[
        plane_last_flight,
        lane_last_flight,
        route_last_flight,
        weather,
        plane_facts,
        from_airport[["alt"]],
        to_airport,
    ],
)
