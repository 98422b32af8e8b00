"""What `import gnomon` brings: these names, and nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gnomon

HEAVY = (
    *("click", "confluent_kafka", "duckdb", "lmdb", "numpy", "pandas", "polars"),
    *("pyarrow", "rich", "sqlalchemy", "sqlglot", "yaml"),
)

LIGHT = (
    "gnomon",
    "gnomon.clock",
    "gnomon.contracts.engine",
    "gnomon.contracts.formats",
    "gnomon.contracts.log",
    "gnomon.contracts.online",
    "gnomon.contracts.plugins",
    "gnomon.contracts.registry",
    "gnomon.contracts.streams",
    "gnomon.core.expressions",
    "gnomon.definitions.catalog",
    "gnomon.errors",
    "gnomon.plan.changes",
    "gnomon.types",
)
"""What a file of definitions, or a back-end's own package, may import without paying for more."""

LOADED = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def fresh(code: str) -> list[str]:
    """The words a new interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_exported_names_are_exactly_these() -> None:
    assert sorted(gnomon.__all__) == [
        "AvroFormat",
        "Entity",
        "Feature",
        "FeatureService",
        "FeatureStore",
        "FeatureView",
        "Field",
        "FileSource",
        "GnomonError",
        "JsonFormat",
        "KafkaSource",
        "LoggingConfig",
        "OnDemandFeatureView",
        "ProtoFormat",
        "PushSource",
        "RedisStreamSource",
        "RequestSource",
        "ValueType",
        "Window",
        "__version__",
        "agg",
        "on_demand_feature_view",
    ]


@pytest.mark.parametrize("name", gnomon.__all__)
def test_exported_names_are_there(name: str) -> None:
    assert getattr(gnomon, name) is not None


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'FeatureStor'"):
        gnomon.FeatureStor  # noqa: B018


@pytest.mark.parametrize("module", LIGHT)
def test_words_and_definitions_load_nothing_heavy(module: str) -> None:
    assert set(fresh(f"import {module}; {LOADED}")) & set(HEAVY) == set()


def test_import_takes_less_than_a_third_of_a_second_of_cpu() -> None:
    took = "import time; began = time.process_time(); import gnomon; print(time.process_time() - began)"
    assert min(float(fresh(took)[0]) for _ in range(3)) < 0.3


def test_every_folder_of_modules_is_a_package() -> None:
    """Import rules do not look into any other."""
    root = Path(gnomon.__file__).parent
    folders = {path.parent for path in root.rglob("*.py")}
    beside = (root / "templates", root / "examples" / "backend_package")
    inside = [one for one in folders if not any(one.is_relative_to(other) for other in beside)]
    assert [one for one in inside if not (one / "__init__.py").exists()] == []
