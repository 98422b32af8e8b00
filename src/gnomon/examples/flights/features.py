"""What may be known of a flight before it leaves: earlier flights, by the last one or by windows; weather; airports.

Six views stand on the same file of flights under different keys: three look at its latest row, three at all of its rows
in a window. The rows carry both clocks: a flight happens at its scheduled departure, and how late it was is known when
it arrives. What only the request can say, when this flight is due, is looked at as it comes, by a function.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource, RequestSource, agg, on_demand_feature_view
from gnomon.types import Float64, Int64, String, UnixTimestamp

plane = Entity(name="plane", join_keys=["tailnum"], value_type=String, description="An aircraft")
lane = Entity(name="lane", join_keys=["carrier", "origin"], value_type=String, description="A carrier at an airport")
route = Entity(name="route", join_keys=["origin", "dest"], value_type=String, description="From one airport to another")
home = Entity(name="home", join_keys=["origin"], value_type=String, description="An airport of New York's three")
airline = Entity(name="airline", join_keys=["carrier"], value_type=String, description="A carrier at all three")
airport = Entity(name="airport", join_keys=["faa"], value_type=String, description="An airport by its FAA code")

# There is no instant at which the departure delay alone became known: both delays of a row wait for its arrival. Nor is
# there one at which a flight was called off, some after hours at the gate: here that is known when the flight was due.
# Later than the truth costs a little, where earlier leaks. And so the flights of an hour become known together: if the
# cancelled ones were known first, the share cancelled of the last hour would be of hardly anything else.
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

# A window ends before the instant asked, so a flight is not part of its own history, whatever the hindsight. Those that
# left a little earlier are: by event time alone with their delays, though they may be in the air still.
windows = ["1h", "24h", "7d", "30d"]
departures = [
    agg.count(over=windows, name="departures"),
    agg.mean("dep_delay", over=windows),
    agg.max("dep_delay", over=windows),
    agg.mean("cancelled", over=windows, name="share_cancelled"),
    agg.count_distinct("dest", over=windows, name="destinations"),
]
home_departures = FeatureView(name="home_departures", entities=[home], source=flights, aggregations=departures)
airline_departures = FeatureView(name="airline_departures", entities=[airline], source=flights, aggregations=departures)
plane_departures = FeatureView(name="plane_departures", entities=[plane], source=flights, aggregations=departures)

weather = FeatureView(
    name="weather",
    entities=[home],
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

flight_plan = RequestSource(
    name="flight_plan",
    schema=[Field(name="scheduled_departure", dtype=UnixTimestamp), Field(name="distance", dtype=Int64)],
)


@on_demand_feature_view(
    sources=[flight_plan, plane_facts, home_departures],
    schema=[
        Field(name="hour", dtype=Int64, description="Of the day, by New York's clocks"),
        Field(name="weekday", dtype=Int64, description="1 is Monday"),
        Field(name="plane_age", dtype=Int64, description="Years; null for a plane nobody knows the year of"),
        Field(name="worse_than_usual", dtype=Float64, description="Minutes the last hour left later than the month"),
    ],
)
def at_departure(
    scheduled_departure: datetime | None,
    year: int | None,
    dep_delay_mean_1h: float | None,
    dep_delay_mean_30d: float | None,
) -> dict[str, int | float | None]:
    """What the flight's own schedule says, and what only makes sense beside it."""
    local = scheduled_departure and scheduled_departure.astimezone(ZoneInfo("America/New_York"))
    hour, month = dep_delay_mean_1h, dep_delay_mean_30d
    return {
        "hour": local.hour if local else None,
        "weekday": local.isoweekday() if local else None,
        "plane_age": local.year - year if local and year else None,
        "worse_than_usual": None if hour is None or month is None else hour - month,
    }


surroundings = (weather, plane_facts, from_airport[["alt"]], to_airport)

late_arrival = FeatureService(
    name="late_arrival",
    description="Will it arrive more than 30 minutes late? Asked at its scheduled departure, of the last flights",
    features=[plane_last_flight, lane_last_flight, route_last_flight, *surroundings],
)
late_arrival_windows = FeatureService(
    name="late_arrival_windows",
    description="The same question, of all flights in the last hour, day, week and month",
    features=[home_departures, airline_departures, plane_departures, *surroundings],
)
late_arrival_asked = FeatureService(
    name="late_arrival_asked",
    description="The same question, with what the request says of the flight",
    features=[
        at_departure,
        home_departures[["dep_delay_mean_24h"]],
        lane_last_flight,
        route_last_flight,
        *surroundings,
    ],
)
