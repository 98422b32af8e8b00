"""Definitions that change while a server runs: picked up without a restart, and never within a request."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from http_server import HttpServer, serving
from served_shop import make_shop, payments, source, user, v
from waiting import until

import gnomon.server
from gnomon import FeatureService, FeatureStore, FeatureView, Field, agg
from gnomon.errors import BackendError
from gnomon.server.context import Definitions
from gnomon.server.settings import ServerSettings
from gnomon.types import Int64


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_shop(tmp_path, more="feature_server: {registry_refresh: 100ms}")


@pytest.fixture
def server(repo: Path) -> Iterator[HttpServer]:
    with serving(repo) as running:
        yield running


def test_new_definitions_are_served(server: HttpServer, repo: Path) -> None:
    asked: dict[str, Any] = {"feature_service": "fresh", "entities": {"user_id": [1]}}
    assert server.ask(**asked).status_code == 404
    with FeatureStore(repo) as store:
        store.apply([FeatureService(name="fresh", features=[v[["i"]]])])
        until(lambda: server.ask(**asked).status_code == 200)
        store.apply([FeatureService(name="fresh", features=[v[["s", "i"]]])])
    until(lambda: server.ask(**asked).json()["metadata"]["feature_names"] == ["user_id", "s", "i"])
    assert [one["values"] for one in server.ask(**asked).json()["results"]] == [[1], ["a"], [1]]


def test_a_view_that_is_not_loaded_as_it_is_defined_is_503_until_it_is(server: HttpServer, repo: Path) -> None:
    asked: dict[str, Any] = {"features": ["spend:count_1d"], "entities": {"user_id": [1]}}
    assert server.ask(**asked).json()["results"][1]["values"] == [2]
    wider = FeatureView(
        name="spend",
        entities=[user],
        source=payments,
        aggregations=[agg.count(over=["1d", "30d"]), agg.max("amount", over="7d")],
    )
    with FeatureStore(repo) as store:
        store.apply([wider, FeatureService(name="mixed", features=[v[["i"]], wider])])
        until(lambda: server.ask(**asked).status_code == 503)
        assert "older definition" in json.loads(server.ask(**asked).json())["message"]
        store.materialize_incremental()
    until(lambda: server.ask(**asked).status_code == 200)
    assert server.ask(**asked).json()["results"][1]["values"] == [2]


def test_questions_are_worked_out_before_the_definitions_change(repo: Path) -> None:
    with FeatureStore(repo) as store:
        app = gnomon.server.app(store)
        definitions, reader = app.context.definitions, store.reader
        before, rows = definitions.snapshot, [{"user_id": 1}]
        reader.read(before, ["v:i", "v:s"], rows)
        reader.read(before, ["old:i"], rows)
        store.apply(
            [
                FeatureView(
                    name="old", entities=[user], schema=[Field("i32", Int64)], source=source("o_src", "d.parquet")
                )
            ]
        )
        assert definitions.snapshot is before
        assert definitions.refresh()
        known = {features: plan.snapshot for (features, _), plan in reader._plans.items()}
        assert known[("v:i", "v:s")] is definitions.snapshot
        assert known[("old:i",)] is before  # cannot be asked any more
        assert not definitions.refresh()


def test_a_registry_that_cannot_be_read_changes_nothing(repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    with FeatureStore(repo) as store:
        settings = ServerSettings.of({"registry_refresh": "10ms"})
        app = gnomon.server.app(store, settings)
        looked: list[int] = []

        def gone() -> Any:
            looked.append(1)
            raise BackendError("the registry is gone.") if len(looked) % 2 else KeyError("a defect")

        app.context.definitions._newest = gone

        async def run() -> None:
            app._upkeep.begin()
            while len(looked) < 4:
                await asyncio.sleep(0.01)
            await app._upkeep.end()

        asyncio.run(run())
        assert app.context.definitions.snapshot.version > 0
    assert "the registry cannot be read, so what was known of it stays" in caplog.text


def test_a_registry_that_has_not_moved_is_not_read_again(repo: Path) -> None:
    read: list[int] = []
    with FeatureStore(repo) as store:

        def snapshot() -> Any:
            read.append(1)
            return store.snapshot()

        definitions = Definitions(snapshot, lambda: tuple(store.history(1)))
        assert not definitions.refresh()
        assert not definitions.refresh()
        assert len(read) == 1
        service = FeatureService(name="another", features=[v[["i"]]])
        store.apply([service])
        assert definitions.refresh()
        assert len(read) == 2
        store.registry.forget(store.project)
        store.apply([service])
        while store.snapshot().version < definitions.snapshot.version:
            owner = f"owner {store.snapshot().version}"
            store.apply([FeatureService(name="another", features=[v[["i"]]], owner=owner)])
        assert store.snapshot().version == definitions.snapshot.version
        assert definitions.refresh()
        assert definitions.snapshot.catalog == store.catalog()


CODE = """
from gnomon import Field, RequestSource, on_demand_feature_view
from gnomon.types import Float64

given = RequestSource(name="given", schema=[Field("x", Float64)])


@on_demand_feature_view(sources=[given], schema=[Field("y", Float64)])
def od(x):
    return x + 1
"""
MORE = """

@on_demand_feature_view(sources=[given], schema=[Field("y", Float64)])
def od2(x):
    return x * 10
"""


def apply_files(repo: Path) -> None:
    main = [sys.executable, "-c", "from gnomon.cli import main; main()"]
    subprocess.run([*main, "-c", str(repo), "apply"], check=True, capture_output=True)


def test_functions_that_are_applied_are_served(repo: Path) -> None:
    """Changed ones and new ones, from the repo's files; what is not in them as it was applied is 503 until it is."""
    file, asked = repo / "features.py", {"entities": {"x": [1.0]}}
    had = file.read_text() if file.exists() else ""
    file.write_text(had + CODE)
    apply_files(repo)
    with serving(repo) as server:

        def answers(feature: str = "od:y") -> Any:
            found = server.ask(features=[feature], **asked)
            assert found.status_code in (200, 404, 503), found.text
            return found.json()["results"][-1]["values"] if found.status_code == 200 else found.status_code

        assert answers() == [2.0]
        changed = CODE.replace("x + 1", "x + 2") + MORE
        file.write_text(had + changed)
        assert answers() == [2.0]  # edited, and not applied
        apply_files(repo)
        until(lambda: answers() == [3.0])
        until(lambda: answers("od2:y") == [10.0])
        elsewhere = changed.replace("x + 2", "x + 3")
        file.write_text(had + elsewhere)
        apply_files(repo)
        until(lambda: answers() == [4.0])
        assert answers("od2:y") == [10.0]


def test_functions_that_were_applied_elsewhere_are_503_until_they_are_here(repo: Path) -> None:
    file, asked = repo / "features.py", {"features": ["od:y"], "entities": {"x": [1.0]}}
    had = file.read_text() if file.exists() else ""
    file.write_text(had + CODE)
    apply_files(repo)
    file.write_text(had + CODE.replace("x + 1", "x + 9"))
    with serving(repo) as server:
        refused = server.ask(**asked)
        assert refused.status_code == 503
        said = json.loads(refused.json())
        assert "'features:od'" in said["message"]
        assert said["error"]["type"] == "BackendError"
        assert server.ask(features=["v:i"], entities={"user_id": [1]}).status_code == 200
        file.write_text(had + CODE)
        until(lambda: server.ask(**asked).status_code == 200)
        assert server.ask(**asked).json()["results"][-1]["values"] == [2.0]
    assert sum("is not served" in line for line in server.said) == 1
