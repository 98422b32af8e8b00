"""Online answers, training with their tokens, and the oracle are the same, to the bit, whatever was done before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from online_worlds import KINDS, Played, World, worlds
from redis_server import cluster, redis_server  # noqa: F401  (one is a fixture)
from windowed_views import values_of

from gnomon import FeatureStore, FeatureView
from gnomon.clock import ManualClock
from gnomon.config import Backend, RepoConfig
from gnomon.core.expressions import parse
from gnomon.flows.responses import OnlineResponse
from gnomon.plan.questions import NO_ROWS, Through
from gnomon.testing.reference import Row, as_of, same_value
from gnomon.testing.reference_windows import WindowEvent, windowed
from gnomon.testing.strategies import to_spine
from gnomon.types import to_arrow

Told = list[tuple[Any, str]]
"""(value, status) of each feature."""


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> Iterator[Callable[[], Backend]]:
    """Gives an online store of a type, empty each time."""
    if request.param not in ("redis", "cluster"):
        yield lambda: Backend(request.param)
        return
    driver = pytest.importorskip("redis")
    with ExitStack() as stack:
        if request.param == "redis":
            servers, options = [request.getfixturevalue("redis_server")], {}
        else:
            servers, options = stack.enter_context(cluster("redis")), {"redis_type": "redis_cluster"}
        clients = [stack.enter_context(driver.Redis(port=one.port)) for one in servers]

        def emptied() -> Backend:
            for client in clients:
                client.flushall()
            return Backend("redis", {"connection_string": servers[0].address, **options})

        yield emptied


def store_in(folder: Path, online: Backend, clock: ManualClock) -> FeatureStore:
    return FeatureStore(folder, config=RepoConfig(project="p", repo_path=folder, online_store=online), clock=clock)


@pytest.mark.parametrize(
    ("backend", "kinds"),
    [
        *(pytest.param("memory", [kind], id=f"memory, {kind}") for kind in KINDS),
        *(pytest.param(online, KINDS, id=online) for online in ("lmdb", "sqlite", "redis", "cluster")),
    ],
    indirect=["backend"],
)
@pytest.mark.filterwarnings("ignore::gnomon.flows.training.HindsightWarning")
@settings(
    max_examples=max(10, settings.default.max_examples // 10),
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it gives an empty store each time
)
@given(data=st.data())
def test_serving_training_and_the_oracle_agree(
    tmp_path_factory: pytest.TempPathFactory, backend: Callable[[], Backend], kinds: Sequence[str], data: st.DataObject
) -> None:
    world, folder, clock = data.draw(worlds(kinds)), tmp_path_factory.mktemp("repo"), ManualClock()
    world.write(folder)
    with store_in(folder, backend(), clock) as store:
        store.apply(world.views())
        played = Played(world, store, clock)
        for step in world.steps:
            played.play(step)
            if step.verb == "read":
                check(played)
        check_laid_out_as_streamed(played)


def check(played: Played) -> None:
    """Every answer is what history says about its token; and what was known then, if all that was is there."""
    world, store = played.world, played.store
    views = [store.get_feature_view(one.name) for one in world.views()]
    response = read(played, views)
    tokens, at = response.known_through, response.at
    for view in views:
        served, keys = told(response, view), keys_of(world, view)
        asked: dict[str, list[int]] = defaultdict(list)
        for place, token in enumerate(tokens):
            through = token.views[view.id]
            expected = by_oracle(world, view, played.log, keys[place], through, at)
            assert agree(view, served[place], expected), (keys[place], served[place], expected, str(token), at)
            if through == NO_ROWS and view.aggregations:
                continue  # of a view that was never loaded there are no counts, either
            asked[str(token)].append(place)
            if not world.missed(played.log, through, at):
                asked["then"].append(place)
        for as_known, places in asked.items():
            again = trained(store, view, [keys[place] for place in places], at, as_known)
            compare(view, again, [served[place] for place in places], as_known)
        if at == played.clock.now():
            alone = told(read(played, [view], known_through=False), view)
            assert all(map(partial(agree, view), alone, served))


def check_laid_out_as_streamed(played: Played) -> None:
    """Brought up to date, what is there answers as what is laid out anew."""
    world, store = played.world, played.store
    views = [store.get_feature_view(one.name) for one in world.views()]
    played.clock.set(max(played.clock.now(), read(played, views).at))  # a clock that stepped back is waited for
    store.materialize_incremental()
    streamed = read(played, views)
    store.materialize(None, played.clock.now(), replace=True)
    anew = read(played, views)
    for view in views:
        assert all(map(partial(agree, view), told(streamed, view), told(anew, view)))


def keys_of(world: World, view: FeatureView) -> list[tuple[Any, ...]]:
    """The keys that are read, as a view has them."""
    places = [list(world.table.keys).index(name) for name in view.join_keys]
    return [tuple(key[place] for place in places) for key in world.asked]


def read(played: Played, views: Sequence[FeatureView], known_through: bool = True) -> OnlineResponse:
    """The answer about all keys, of all features of some views."""
    world = played.world
    needed = {name for view in views for name in view.join_keys}
    rows = to_spine([(key, 0) for key in world.asked], world.table.keys)
    entities: Any = {name: rows[name].to_pylist() for name in world.table.keys if name in needed}
    asked = [f"{view.name}:{name}" for view in views for name in view.feature_names]
    return played.store.get_online_features(
        asked, entities or [{}] * len(world.asked), full_feature_names=True, known_through=known_through
    )


def told(response: OnlineResponse, view: FeatureView) -> list[Told]:
    """Values as the oracle has them, and statuses, entity by entity."""
    made, statuses = response.to_arrow(), response.statuses
    columns = []
    for one in view.schema:
        name = f"{view.name}__{one.name}"
        columns.append(list(zip(values_of(made[name], one.dtype), map(str, statuses[name]), strict=True)))
    return [list(one) for one in zip(*columns, strict=True)]


def trained(store: FeatureStore, view: FeatureView, keys: Sequence[tuple[Any, ...]], at: int, as_known: str) -> list:
    types = {one.name: one.dtype for one in view.entity_columns}
    asked = [f"{view.name}:{name}" for name in view.feature_names]
    spine = to_spine([(key, at) for key in keys], types)
    made = store.get_historical_features(spine, asked, as_known=as_known).to_arrow()
    assert all(made.schema.field(one.name).type == to_arrow(one.dtype) for one in view.schema)
    return list(zip(*(values_of(made[one.name], one.dtype) for one in view.schema), strict=True))


def compare(view: FeatureView, expected: Sequence[Sequence[Any]], served: Sequence[Told], why: str) -> None:
    for one, values in zip(served, expected, strict=True):
        for field, (value, status), other in zip(view.schema, one, values, strict=True):
            assert same_value(value, other, field.dtype), (why, field.name, value, status, other)


def agree(view: FeatureView, served: Told, expected: Told) -> bool:
    return all(
        same_value(value, other, field.dtype) and status == said
        for field, (value, status), (other, said) in zip(view.schema, served, expected, strict=True)
    )


def by_oracle(
    world: World, view: FeatureView, log: list[WindowEvent], key: tuple[Any, ...], through: Through, at: int
) -> Told:
    """What the contract says about a token."""
    events = world.of_key(world.had(log, through), tuple(view.join_keys))
    if not view.aggregations:
        rows = [
            Row(one.key, one.event, one.known, tuple(one.values[field.name] for field in view.schema)) for one in events
        ]
        dtypes = [one.dtype for one in view.schema]
        found = as_of(rows, key, at, dtypes=dtypes, ttl=view.ttl)
        return list(zip(found.values, found.statuses, strict=True))
    if through == NO_ROWS:
        return [(None, "NOT_FOUND")] * len(view.schema)
    dtypes_of = {one.name: one.dtype for one in view.inputs}
    answers = [
        windowed(
            events,
            key,
            at,
            window=window,
            function=one.function,
            arguments=one.arguments,
            column=one.column or None,
            dtypes=dtypes_of,
            where=parse(one.where).typed(dtypes_of).compile() if one.where else None,
        )
        for one in view.aggregations
        for window in one.over
    ]
    return [(one.value, one.status) for one in answers]
