"""FeatureStore: the one object a user holds. Each method is a line or three into a flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.clock import Clock, SystemClock
from gnomon.definitions.services import FeatureService

if TYPE_CHECKING:
    from gnomon.config import RepoConfig
    from gnomon.definitions.catalog import Catalog
    from gnomon.flows.apply import Plan
    from gnomon.flows.materialize import Progress, Report
    from gnomon.flows.read import OnlineResponse
    from gnomon.flows.training import TrainingSet

Features = Sequence[str] | FeatureService
"""What is asked for: references such as `profile:age`, or a service."""


class FeatureStore:
    """A project's features: its definitions, its history, its online store.

    Args:
        repo_path: the folder of `feature_store.yaml`; without that file, everything lives in `repo_path/.gnomon`.
        config: the configuration, if it should not be read from `repo_path`.
        clock: says what time it is; every "now" comes from it.
    """

    def __init__(
        self, repo_path: str | Path = ".", *, config: RepoConfig | None = None, clock: Clock | None = None
    ) -> None: ...

    # ---- to be filled in: signatures agreed so that the doors can be written against them ----

    def plan(self, objects: Sequence[Any] = (), *, prune: bool = False) -> Plan: ...
    def apply(self, objects: Sequence[Any] = (), *, prune: bool = False, expected_version: int | None = None) -> Plan: ...
    def get_historical_features(
        self,
        entity_df: Any = None,
        features: Features = (),
        *,
        as_known: str | datetime | int = "now",
        full_feature_names: bool = False,
        entities: Any = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> TrainingSet: ...
    def get_online_features(
        self, features: Features, entity_rows: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]], *, full_feature_names: bool = False
    ) -> OnlineResponse: ...
    def materialize(
        self, start_date: datetime | None, end_date: datetime, feature_views: Sequence[str] | None = None, *, replace: bool = False, progress: Progress | None = None
    ) -> Report: ...
    def materialize_incremental(
        self, end_date: datetime, feature_views: Sequence[str] | None = None, *, progress: Progress | None = None
    ) -> Report: ...
    def catalog(self, version: int | None = None) -> Catalog: ...
    def teardown(self) -> None: ...
