"""Made-up requests, after the OpenAPI document: never a 500, and every answer is what the document says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served import Client, context_of, event, project

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with project(tmp_path_factory.mktemp("fuzzed")) as store:
        client = Client(context_of(store))
        client.post("/push", {"push_source_name": "payments", "events": [event(1, 2.5)]})
        yield client.app
        client.close()


@pytest.fixture(scope="module")
def schema(app: Any) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", app)


OPERATIONS = [
    ("POST", "/features/batch"),
    ("GET", "/features"),
    ("POST", "/features"),
    ("GET", "/features/{name}"),
    ("GET", "/features/{name}/lineage"),
    ("POST", "/push"),
    ("POST", "/write-to-online-store"),
    ("POST", "/materialize"),
    ("POST", "/materialize-incremental"),
    ("GET", "/jobs"),
    ("GET", "/jobs/{id}"),
    ("GET", "/explain"),
    ("GET", "/health"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
]
NAMES = {
    "name": "spend:count_30d",
    "feature": "spend:amount_sum_30d",
    "features": ["spend:count_30d", "profile:age"],
    "push_source_name": "payments",
    "feature_view_name": "spend",
    "feature_views": ["spend"],
}
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "20"))


def name_what_is_there(case: Any) -> None:
    """Names that mean something get a request beyond the first look at it."""
    for part in (case.path_parameters, case.query, case.body):
        if isinstance(part, dict):
            part.update({name: NAMES[name] for name in part if name in NAMES})


HOT = {("POST", "/get-online-features"), ("GET", "/features/online/{entity}")}


def test_all_operations_are_fuzzed(schema: Any) -> None:
    found = {(one.ok().method.upper(), one.ok().path) for one in schema.get_all_operations()}
    assert found == {*OPERATIONS} | HOT


@pytest.mark.parametrize("operation", OPERATIONS, ids=" ".join)
@pytest.mark.parametrize("mode", GenerationMode, ids=lambda mode: mode.value)
@pytest.mark.filterwarnings("ignore")
def test_answers_are_as_documented(schema: Any, operation: tuple[str, str], mode: GenerationMode) -> None:
    method, path = operation
    cases = schema[path][method].as_strategy(generation_mode=mode)

    @given(case=cases, named=st.booleans())
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def fuzzed(case: Any, named: bool) -> None:
        if named:
            name_what_is_there(case)
        case.call_and_validate(checks=CHECKS)

    with suppress(Unsatisfiable):  # a request that has nothing to say cannot say it wrongly
        fuzzed()
