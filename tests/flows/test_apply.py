from __future__ import annotations

import json
import multiprocessing
import sys
import threading
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gnomon import Entity, FeatureService, FeatureView, Field, FileSource
from gnomon.clock import ManualClock
from gnomon.contracts.plugins import Context
from gnomon.contracts.registry import Registry
from gnomon.definitions.catalog import Catalog
from gnomon.errors import ConflictError, DefinitionError
from gnomon.flows.apply import Plan, apply, plan, repo_definitions, resolve
from gnomon.registry.sql import SqlRegistry
from gnomon.types import Array, Decimal, FeatureType, Float32, Float64, Int32, Int64, String, UnixTimestamp, to_arrow

NOW = datetime(2024, 1, 1, tzinfo=timezone.utc)


@dataclass
class ParquetColumns:
    """As much of an engine as apply needs: the columns of Parquet files."""

    repo: Path
    asked: list[str] = field(default_factory=list)

    def schema(self, source: FileSource) -> pa.Schema:
        self.asked.append(source.name)
        found = pq.read_schema(self.repo / source.path)
        return pa.schema([one.with_name(source.field_mapping.get(one.name, one.name)) for one in found])


@pytest.fixture
def engine(tmp_path: Path) -> ParquetColumns:
    return ParquetColumns(tmp_path)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return opened(tmp_path)


def opened(repo: Path) -> Registry:
    return SqlRegistry({}, Context(repo_path=repo, project="p", clock=ManualClock()))


def written(repo: Path, name: str = "users.parquet", **columns: pa.DataType) -> str:
    schema = pa.schema({"user": pa.int64(), "ts": pa.timestamp("us", "UTC"), "age": pa.int32(), **columns})
    pq.write_table(schema.empty_table(), repo / name)
    return name


def on(path: str, **values: Any) -> FeatureView:
    source = FileSource(path=path, **values.pop("source", {"timestamp_field": "ts", "delay": "0s"}))
    return FeatureView(name="profile", entities=values.pop("entities", ["user"]), source=source, **values)


def resolved(engine: ParquetColumns, view: FeatureView) -> FeatureView:
    return resolve(Catalog.of([view]), engine).catalog.view("profile")  # type: ignore[arg-type]


def applied(registry: Registry, engine: ParquetColumns, *objects: Any, **options: Any) -> Plan:
    return apply(registry, engine, "p", objects, at=5, by="ann", **options)  # type: ignore[arg-type]


class TestResolve:
    def test_what_is_left_out_is_read_from_the_source(self, engine: ParquetColumns, tmp_path: Path) -> None:
        path = written(
            tmp_path,
            created=pa.timestamp("ns"),
            price=pa.decimal128(18, 2),
            tags=pa.list_(pa.string()),
            small=pa.uint8(),
            id=pa.string(),
        )
        source = FileSource(path=path, created_timestamp_column="created", event_id="id")
        catalog = resolve(Catalog.of([FeatureView(name="profile", entities=["user"], source=source)]), engine).catalog  # type: ignore[arg-type]
        view = catalog.view("profile")
        assert view.source.timestamp_field == "ts"
        assert view.source is catalog.sources[path]
        assert view.entity_columns == (Field("user", Int64),)
        assert view.schema == (
            Field("age", Int32),
            Field("price", Decimal(18, 2)),
            Field("tags", Array(String)),
            Field("small", Int32),
        )

    def test_what_is_declared_stays(self, engine: ParquetColumns, tmp_path: Path) -> None:
        entity = Entity(name="user", value_type=String)
        path = written(tmp_path, user=pa.string())
        view = on(path, entities=[entity], schema=[Field("age", Int64, "in years")])
        assert resolved(engine, view).schema == (Field("age", Int64, "in years"),)
        assert resolved(engine, view).entity_columns == (Field("user", String),)

    def test_resolving_twice_changes_nothing(self, engine: ParquetColumns, tmp_path: Path) -> None:
        once = resolve(Catalog.of([on(written(tmp_path), source={})]), engine)  # type: ignore[arg-type]
        assert resolve(once.catalog, engine) == once  # type: ignore[arg-type]

    def test_a_source_is_looked_at_once_and_is_one_object(self, engine: ParquetColumns, tmp_path: Path) -> None:
        one = on(written(tmp_path), source={})
        catalog = resolve(Catalog.of([one, replace(one, name="other")]), engine).catalog  # type: ignore[arg-type]
        assert engine.asked == ["users.parquet"]
        assert catalog.view("profile").source is catalog.view("other").source

    def test_names_in_the_files_become_names_in_views(self, engine: ParquetColumns, tmp_path: Path) -> None:
        mapping = {"ts": "happened", "age": "years"}
        view = resolved(engine, on(written(tmp_path), source={"timestamp_field": "ts", "field_mapping": mapping}))
        assert (view.source.timestamp_field, view.feature_names) == ("happened", ("years",))

    def test_a_view_of_the_whole_world(self, engine: ParquetColumns, tmp_path: Path) -> None:
        view = resolved(engine, on(written(tmp_path), entities=[]))
        assert (view.entity_columns, view.feature_names) == ((), ("user", "age"))

    def test_columns_no_feature_can_be_are_noted(self, engine: ParquetColumns, tmp_path: Path) -> None:
        path = written(tmp_path, **{"place": pa.struct({"x": pa.int8()}), "a:b": pa.int64(), "none": pa.null()})
        found = resolve(Catalog.of([on(path)]), engine)  # type: ignore[arg-type]
        assert found.catalog.view("profile").feature_names == ("age",)
        assert [note.split("'")[3] for note in found.notes] == ["place", "a:b", "none"]

    def test_without_known_times_there_is_a_note(self, engine: ParquetColumns, tmp_path: Path) -> None:
        def notes(**source: Any) -> tuple[str, ...]:
            return resolve(Catalog.of([on("users.parquet", source=source)]), engine).notes  # type: ignore[arg-type]

        written(tmp_path, created=pa.timestamp("us"))
        (note,) = notes(timestamp_field="ts")
        assert "as_known='then' equals 'now'" in note
        assert notes(timestamp_field="ts", delay="0s") == notes(created_timestamp_column="created") == ()

    def test_a_date_is_the_event_time_only_where_nothing_else_is(self, engine: ParquetColumns, tmp_path: Path) -> None:
        both = resolved(engine, on(written(tmp_path, born=pa.date32()), source={}))
        assert both.source.timestamp_field == "ts"
        assert both.schema == (Field("age", Int32), Field("born", UnixTimestamp))
        assert resolved(engine, on(written(tmp_path, ts=pa.date32()), source={})).source.timestamp_field == "ts"

    @pytest.mark.parametrize(
        ("columns", "view", "said"),
        [
            ({}, {"source": {"timestamp_field": "tss"}}, r"timestamp_field 'tss' is not in .*\n.*user.*\n.*'ts'"),
            ({"ts": pa.int64()}, {}, r"timestamp_field 'ts' is int64, not a timestamp.\n.*seconds or milliseconds"),
            ({"ts": pa.string()}, {}, r"timestamp_field 'ts' is string, not a timestamp.\n.*ISO-8601"),
            ({"ts": pa.string()}, {"source": {}}, "no column is a timestamp"),
            ({"t2": pa.timestamp("s")}, {"source": {}}, "several columns are a timestamp: ts, t2"),
            ({}, {"source": {"created_timestamp_column": "c"}}, "created_timestamp_column 'c' is not in the source"),
            ({}, {"source": {"created_timestamp_column": "age"}}, "created_timestamp_column 'age' is int32"),
            ({}, {"source": {"event_id": "idd"}}, "event_id 'idd' is not in the source"),
            ({"id": pa.struct({"x": pa.int8()})}, {"source": {"event_id": "id"}}, "event_id 'id' is struct"),
            ({}, {"entities": ["usr"]}, r"'profile': join key 'usr' is not in the source.*\n.*\n.*'user'"),
            ({"user": pa.float64()}, {}, r"a join key cannot be Float64(.|\n)*value_type=Int64"),
            ({"user": pa.null()}, {}, "join key 'user' is null, which no type holds"),
            (
                {},
                {"entities": [Entity(name="user", value_type=String)]},
                "is declared String, but the source has Int64",
            ),
            ({}, {"schema": [Field("agee", Int32)]}, r"'profile': feature 'agee' is not in (.|\n)*did you mean 'age'"),
            ({}, {"schema": [Field("age", String)]}, "'age' is declared String, but the source has Int32"),
            ({"age": pa.float64()}, {"schema": [Field("age", Int64)]}, "declare dtype=Float64"),
            (
                {"age": pa.struct({"x": pa.int8()})},
                {"schema": [Field("age", Int64)]},
                "has struct<x: int8>, which no type holds",
            ),
            ({"age": pa.struct({"x": pa.int8()})}, {}, "no column left"),
            ({}, {"source": {"field_mapping": {"age": "user"}}}, "has two columns 'user'"),
        ],
    )
    def test_mistakes(
        self, engine: ParquetColumns, tmp_path: Path, columns: dict[str, Any], view: dict[str, Any], said: str
    ) -> None:
        written(tmp_path, **columns)
        with pytest.raises(DefinitionError, match=said):
            resolved(engine, on("users.parquet", **view))

    @pytest.mark.parametrize(
        ("found", "declared"),
        [
            (Int32, Int64),
            (Int64, Int32),
            (Float64, Float32),
            (Int64, Float64),
            (Decimal(18, 2), Float64),
            (Decimal(18, 2), Decimal(38, 4)),
            (Decimal(20, 0), Int64),
            (Int64, Decimal(18, 2)),
            (Array(Float64), Array(Float32)),
        ],
    )
    def test_types_that_may_be_declared_otherwise(
        self, engine: ParquetColumns, tmp_path: Path, found: FeatureType, declared: FeatureType
    ) -> None:
        written(tmp_path, age=to_arrow(found))
        assert resolved(engine, on("users.parquet", schema=[Field("age", declared)])).schema[0].dtype == declared

    @pytest.mark.parametrize(
        ("found", "declared"),
        [
            (Float64, Decimal(18, 2)),
            (Decimal(18, 2), Int64),
            (Decimal(18, 4), Decimal(18, 2)),
            (Int64, String),
            (String, Int64),
            (Int64, UnixTimestamp),
            (Array(Float64), Float64),
            (Array(Float64), Array(Int64)),
        ],
    )
    def test_types_that_may_not(
        self, engine: ParquetColumns, tmp_path: Path, found: FeatureType, declared: FeatureType
    ) -> None:
        written(tmp_path, age=to_arrow(found))
        with pytest.raises(DefinitionError, match="could change values"):
            resolved(engine, on("users.parquet", schema=[Field("age", declared)]))

    def test_a_column_of_nothing_but_nulls_may_be_declared(self, engine: ParquetColumns, tmp_path: Path) -> None:
        written(tmp_path, age=pa.null())
        assert resolved(engine, on("users.parquet", schema=[Field("age", String)])).schema[0].dtype == String

    def test_keys_may_be_floats_or_texts_of_whole_numbers(self, engine: ParquetColumns, tmp_path: Path) -> None:
        for kind in (pa.float64(), pa.string(), pa.uint64(), pa.int8()):
            view = on(written(tmp_path, user=kind), entities=[Entity(name="user", value_type=Int64)])
            assert resolved(engine, view).entity_columns == (Field("user", Int64),)


class TestPlanAndApply:
    def test_what_is_planned_is_what_happens(self, registry: Registry, engine: ParquetColumns, tmp_path: Path) -> None:
        objects = [on(written(tmp_path), schema=[Field("age", Int32)])]
        planned = plan(registry, engine, "p", objects)  # type: ignore[arg-type]
        assert registry.read("p").version == 0
        done = applied(registry, engine, *objects)
        assert done == replace(planned, version=1)
        assert str(planned) == (
            "Project p: 3 changes to apply on version 0.\n\n"
            "+ entity user\n+ feature view profile@1\n+ data source users.parquet"
        )
        assert str(done).startswith("Project p: 3 changes applied, now at version 1.")
        assert registry.history("p")[0].changes == done.changes
        assert json.loads(json.dumps(done.to_dict())) == done.to_dict()
        assert [one["action"] for one in done.to_dict()["changes"]] == ["add"] * 3

    def test_applying_again_changes_nothing(self, registry: Registry, engine: ParquetColumns, tmp_path: Path) -> None:
        view = on(written(tmp_path), source={"delay": "0s"})
        applied(registry, engine, view)
        again = applied(registry, engine, view)
        assert (str(again), again.version, again.changes) == ("Nothing to change.", 1, ())
        assert len(registry.history("p")) == 1

    def test_a_new_column_in_the_source_is_a_change(
        self, registry: Registry, engine: ParquetColumns, tmp_path: Path
    ) -> None:
        applied(registry, engine, on(written(tmp_path)))
        written(tmp_path, city=pa.string())
        planned = plan(registry, engine, "p", [on("users.parquet")])  # type: ignore[arg-type]
        assert planned.affected == ("profile@1",)
        assert str(planned).splitlines()[2:] == [
            "~ feature view profile@1 (changes values)",
            "    schema.city: not set → String",
            "",
            "Answers of profile@1 will differ from those given so far.",
            "Reload what is online of them: gnomon materialize --replace",
        ]

    def test_words_need_no_reload(self, registry: Registry, engine: ParquetColumns, tmp_path: Path) -> None:
        applied(registry, engine, on(written(tmp_path)))
        planned = applied(registry, engine, on("users.parquet", description="who they are"))
        assert (planned.affected, planned.version) == ((), 2)
        assert "(only describes)" in str(planned)
        assert "Reload" not in str(planned)

    def test_a_changed_source_affects_views_not_given(
        self, registry: Registry, engine: ParquetColumns, tmp_path: Path
    ) -> None:
        applied(registry, engine, on(written(tmp_path)))
        slower = FileSource(path="users.parquet", timestamp_field="ts", delay="1h")  # type: ignore[arg-type]
        planned = applied(registry, engine, slower)
        assert planned.affected == ("profile@1",)
        assert [(one.kind, one.affects) for one in planned.changes] == [("FileSource", ("profile@1",))]
        assert registry.read("p").catalog.view("profile").source == slower

    def test_a_view_not_given_is_held_against_its_changed_source(
        self, registry: Registry, engine: ParquetColumns, tmp_path: Path
    ) -> None:
        written(tmp_path)
        other = written(tmp_path, "other.parquet", age=pa.string())
        mine = {"timestamp_field": "ts", "name": "people"}
        applied(registry, engine, on("users.parquet", source=mine))
        with pytest.raises(DefinitionError, match="'age' is declared Int32, but the source has String"):
            applied(registry, engine, FileSource(path=other, **mine))
        assert registry.read("p").version == 1

    def test_without_prune_the_others_stay_and_are_not_read(
        self, registry: Registry, engine: ParquetColumns, tmp_path: Path
    ) -> None:
        applied(registry, engine, on(written(tmp_path)))
        (tmp_path / "users.parquet").unlink()
        other = replace(on(written(tmp_path, "other.parquet")), name="other")
        assert [one.action for one in applied(registry, engine, other).changes] == ["add", "add"]
        assert set(registry.read("p").catalog.views) == {"profile@1", "other@1"}

    def test_prune_takes_out_what_is_not_given(
        self, registry: Registry, engine: ParquetColumns, tmp_path: Path
    ) -> None:
        view = on(written(tmp_path))
        for project in ("p", "q"):
            apply(registry, engine, project, [view, FeatureService(name="m", features=[view])], at=1, by="ann")  # type: ignore[arg-type]
        planned = applied(registry, engine, view, prune=True)
        assert [(one.action, one.kind, one.id) for one in planned.changes] == [("remove", "FeatureService", "m")]
        emptied = applied(registry, engine, prune=True)
        assert [one.action for one in emptied.changes] == ["remove"] * 3
        assert registry.read("p").catalog == Catalog()
        assert list(registry.read("q").catalog.services) == ["m"]

    def test_an_entity_only_mentioned_keeps_its_definition(
        self, registry: Registry, engine: ParquetColumns, tmp_path: Path
    ) -> None:
        known = Entity(name="user", join_keys=["user_id"], owner="risk")  # type: ignore[arg-type]
        applied(registry, engine, known)
        applied(registry, engine, on(written(tmp_path, user_id=pa.string())))
        view = registry.read("p").catalog.view("profile")
        assert view.entities == (known,)
        assert view.entity_columns == (Field("user_id", String),)
        (change,) = applied(registry, engine, replace(known, owner="")).changes
        assert (change.kind, change.changes_values) == ("Entity", False)

    def test_a_service_may_pick_only_what_the_source_has(
        self, registry: Registry, engine: ParquetColumns, tmp_path: Path
    ) -> None:
        service = FeatureService(name="m", features=[on(written(tmp_path))[["aeg"]]])
        with pytest.raises(DefinitionError, match="did you mean 'age'"):
            applied(registry, engine, service)

    def test_versions_of_a_view_live_side_by_side(
        self, registry: Registry, engine: ParquetColumns, tmp_path: Path
    ) -> None:
        applied(registry, engine, on(written(tmp_path)))
        planned = applied(registry, engine, on("users.parquet", version=2, schema=[Field("age", Int64)]))
        assert (planned.affected, [one.id for one in planned.changes]) == ((), ["profile@2"])

    def test_an_expected_version_that_is_past(self, registry: Registry, engine: ParquetColumns, tmp_path: Path) -> None:
        applied(registry, engine, on(written(tmp_path)), expected_version=0)
        for objects in ([on("users.parquet", ttl="1d")], [on("users.parquet")]):
            with pytest.raises(ConflictError, match="at version 1, not at 0"):
                applied(registry, engine, *objects, expected_version=0)

    def test_a_mistake_commits_nothing(self, registry: Registry, engine: ParquetColumns, tmp_path: Path) -> None:
        good = on(written(tmp_path))
        bad = replace(good, name="bad", schema=(Field("nope", Int64),))
        with pytest.raises(DefinitionError, match="'bad'"):
            applied(registry, engine, good, bad)
        assert registry.projects() == []


def race(repo: str, name: str, ready: Any, go: Any, outcomes: Any) -> None:
    registry, engine = opened(Path(repo)), ParquetColumns(Path(repo))
    ready.release()
    go.wait(60)
    try:
        done = applied(registry, engine, Entity(name=name), expected_version=1)
        outcomes.put((name, done.version, ""))
    except ConflictError as conflict:
        outcomes.put((name, None, str(conflict)))


def test_of_two_racing_processes_one_wins(registry: Registry, engine: ParquetColumns, tmp_path: Path) -> None:
    applied(registry, engine, on(written(tmp_path)))
    context = multiprocessing.get_context("spawn")
    ready, go, outcomes = context.Semaphore(0), context.Event(), context.Queue()
    workers = [context.Process(target=race, args=(str(tmp_path), one, ready, go, outcomes)) for one in "ab"]
    for worker in workers:
        worker.start()
    for _ in workers:
        assert ready.acquire(timeout=60)
    go.set()
    results = [outcomes.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    (winner,) = [name for name, version, _ in results if version == 2]
    (told,) = [text for _, version, text in results if version is None]
    assert "project 'p' is at version 2, not at 1" in told
    assert f"entity {winner}" in told
    assert set(registry.read("p").catalog.entities) == {"user", winner}


class TestRepoDefinitions:
    def test_module_level_definitions_are_found_once(self, tmp_path: Path) -> None:
        lay(tmp_path, "shared/people.py", "from gnomon import Entity\nuser = Entity(name='user')\nalso = user\n")
        lay(tmp_path, "a.py", "from shared.people import user\nfrom gnomon import *\nFIVE = 5\n" + VIEW)
        lay(
            tmp_path,
            "my-service.py",
            "import a\nfrom gnomon import *\nm = FeatureService(name='m', features=[a.view])\n",
        )
        found = repo_definitions(tmp_path)
        assert [type(one).__name__ for one in found] == ["Entity", "FileSource", "FeatureView", "FeatureService"]
        assert found[2].entities[0] is found[0]  # type: ignore[union-attr]

    def test_what_is_skipped(self, tmp_path: Path) -> None:
        for name in (
            ".hidden/a.py",
            ".gnomon/a.py",
            "tests/a.py",
            "test_a.py",
            "a_test.py",
            "conftest.py",
            "setup.py",
            "_private.py",
            "env/a.py",
            "__pycache__/a.py",
            "drafts/deep/a.py",
            "notes/old_1.py",
        ):
            lay(tmp_path, name, "raise RuntimeError('imported')")
        lay(tmp_path, "env/pyvenv.cfg", "")
        lay(tmp_path, ".gnomonignore", "# not ready\ndrafts/\n")
        lay(tmp_path, ".feastignore", "notes/*.py  # old\n")
        lay(tmp_path, "sub/good.py", "from gnomon import *\nuser = Entity(name='user')\n")
        assert repo_definitions(tmp_path) == [Entity(name="user")]

    def test_nothing_is_left_behind(self, tmp_path: Path) -> None:
        lay(tmp_path, "features.py", "import helpers.deep\nfrom helpers import deep\n")
        lay(tmp_path, "helpers/deep.py", "import colorsys")
        path, modules = list(sys.path), set(sys.modules) - {"colorsys"}
        assert repo_definitions(tmp_path) == []
        assert (sys.path, set(sys.modules) - {"colorsys"}) == (path, modules)
        assert not list(tmp_path.rglob("__pycache__"))

    def test_two_repos_with_the_same_names(self, tmp_path: Path) -> None:
        for repo in ("one", "two"):
            lay(tmp_path, f"{repo}/entities.py", f"from gnomon import *\nuser = Entity(name={repo!r})\n")
            lay(tmp_path, f"{repo}/features.py", "from entities import user\n")
        names = [[one.name for one in repo_definitions(tmp_path / repo)] for repo in ("one", "two", "one")]
        assert names == [["one"], ["two"], ["one"]]

    def test_an_edit_is_seen_at_once(self, tmp_path: Path) -> None:
        for name in ("aa", "bb"):
            lay(tmp_path, "features.py", f"from gnomon import *\nuser = Entity(name='{name}')\n")
            assert repo_definitions(tmp_path) == [Entity(name=name)]

    def test_a_file_called_like_a_module_of_python(self, tmp_path: Path) -> None:
        import types

        lay(tmp_path, "types.py", "from gnomon import *\nuser = Entity(name='user')\n")
        lay(tmp_path, "gnomon.py", "place = 1\n")
        assert repo_definitions(tmp_path) == [Entity(name="user")]
        assert sys.modules["types"] is types

    @pytest.mark.parametrize(
        ("text", "said", "cause"),
        [
            ("x = 1\ny = 1 / 0\n", r"features\.py:2: ZeroDivisionError: division by zero", ZeroDivisionError),
            ("x = (\n", r"features\.py:1: SyntaxError", SyntaxError),
            ("\n\nimport not_there_at_all\n", r"features\.py:3: ModuleNotFoundError", ModuleNotFoundError),
            ("import sys\nsys.exit(0)\n", r"features\.py:2: SystemExit: 0(.|\n)*__main__", SystemExit),
            (
                "from gnomon import *\nEntity(name='a b')\n",
                r"features\.py:2: entity name 'a b' is not usable(.|\n)*Hint: start with a letter",
                DefinitionError,
            ),
            ("import json\njson.loads('{')\n", r"features\.py:2: JSONDecodeError", ValueError),
            ("import _broken\n", r"_broken\.py:1: AssertionError", AssertionError),
        ],
    )
    def test_a_file_that_fails(self, tmp_path: Path, text: str, said: str, cause: type[BaseException]) -> None:
        lay(tmp_path, "features.py", text)
        lay(tmp_path, "_broken.py", "assert False\n")
        path = list(sys.path)
        with pytest.raises(DefinitionError, match=said) as caught:
            repo_definitions(tmp_path)
        assert isinstance(caught.value.__cause__, cause)
        assert sys.path == path
        assert "features" not in sys.modules

    def test_a_file_that_applies_itself(self, tmp_path: Path) -> None:
        lay(tmp_path, "train.py", f"from gnomon.flows.apply import *\nrepo_definitions({str(tmp_path)!r})\n")
        with pytest.raises(DefinitionError, match=r"train\.py:2: the files of .* are being imported(.|\n)*__main__"):
            repo_definitions(tmp_path)

    def test_threads_take_turns(self, tmp_path: Path) -> None:
        lay(tmp_path, "features.py", "from gnomon import *\nuser = Entity(name='user')\n")
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(repo_definitions(tmp_path))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert found == [[Entity(name="user")]] * 4

    def test_a_repo_is_applied_as_it_stands(self, registry: Registry, engine: ParquetColumns, tmp_path: Path) -> None:
        written(tmp_path)
        lay(tmp_path, "features.py", "from gnomon import *\nuser = Entity(name='user')\n" + VIEW)
        applied(registry, engine, *repo_definitions(tmp_path))
        assert registry.read("p").catalog.view("profile").schema == (Field("age", Int32),)
        assert str(applied(registry, engine, *repo_definitions(tmp_path), prune=True)).startswith("Nothing to change.")


VIEW = """
users = FileSource(path="users.parquet", timestamp_field="ts")
view = FeatureView(name="profile", entities=[user], source=users)
"""


def lay(repo: Path, name: str, text: str) -> None:
    (repo / name).parent.mkdir(parents=True, exist_ok=True)
    (repo / name).write_text(text, encoding="utf-8")
