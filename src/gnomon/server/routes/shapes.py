"""What requests and answers look like: for checking the former, and for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gnomon.errors import RequestError

__all__ = [
    "Asked",
    "BatchRequest",
    "FeatureList",
    "Health",
    "IncrementalRequest",
    "JobDocument",
    "JobList",
    "LineageDocument",
    "LoadRequest",
    "PlanDocument",
    "Problem",
    "PushDocument",
    "PushRequest",
    "RegisterRequest",
    "TrainingColumns",
    "WriteRequest",
]

Columns = dict[str, list[Any]]
AsKnown = str | int


class ProblemDetail(BaseModel):
    """What went wrong."""

    type: str = Field(description="The error's class.")
    message: str = Field(description="What is wrong.")
    instead: str | None = Field(None, description="What was there instead.")
    hint: str | None = Field(None, description="The next step.")
    request_id: str | None = Field(None, description="Names the request, in the server's log too.")


class Problem(BaseModel):
    """An error."""

    error: ProblemDetail


class Asked(BaseModel):
    """What a body asks: a field that it has not is an error, as it is more often a slip than an intention."""

    model_config = ConfigDict(extra="forbid")


class _Written(Asked):
    """What Feast's clients say of every write, too."""

    allow_registry_cache: bool = Field(True, description="Feast's; it has no effect.")
    transform_on_write: bool = Field(True, description="Feast's; it has no effect.")


class BatchRequest(Asked):
    """A training question, the rows asked as columns."""

    entity_df: Columns = Field(description="Join keys and `event_timestamp`, a list per column.")
    features: list[str] | None = Field(None, description="References such as `view:feature`.")
    feature_service: str | None = Field(None, description="A service, in place of `features`.")
    as_known: AsKnown = Field("now", description="`now`, `then`, an instant, or the token of an online answer.")
    full_feature_names: bool = Field(False, description="Name the answers `view__feature`.")
    strict: bool = Field(False, description="An error where a value is more than its type can hold.")

    @field_validator("entity_df", mode="before")
    @classmethod
    def _no_text(cls, given: Any) -> Any:
        if isinstance(given, str):
            raise RequestError(
                "entity_df is a text: a path or a SQL query is not taken over HTTP, for it would be the server's own "
                "files that it reads.",
                hint="send the rows: a list per column, an Arrow stream or a Parquet file.",
            )
        return given


class TrainingColumns(BaseModel):
    """A training set."""

    columns: Columns
    metadata: dict[str, Any] = Field(description="What is needed to ask again.")


class FeatureDocument(BaseModel):
    """A feature."""

    model_config = ConfigDict(extra="allow")
    name: str = Field(description="`view@version:feature`.")
    feature: str
    view: str
    version: int
    kind: Literal["row", "windowed", "on-demand"]
    type: str
    entities: list[str]
    join_keys: list[str]
    source: str
    online: bool
    description: str
    owner: str
    tags: dict[str, str]


class FeatureList(BaseModel):
    """Some of the features."""

    features: list[FeatureDocument]
    total: int = Field(description="How many there are, those on other pages included.")
    registry_version: int


class LineageDocument(BaseModel):
    """What is made of what."""

    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]


class RegisterRequest(Asked):
    """Definitions to register."""

    definitions: list[dict[str, Any]] = Field(min_length=1, description="As `gnomon show --json` has them.")
    expected_version: int | None = Field(None, description="The registry version this was decided on.")
    dry_run: bool = Field(False, description="Say what would change, and change nothing.")


class PlanDocument(BaseModel):
    """What changes, or has changed."""

    model_config = ConfigDict(extra="allow")
    project: str
    base: int
    version: int | None
    changes: list[dict[str, Any]]
    notes: list[str]
    affected: list[str]
    reload: list[str]


class PushRequest(_Written):
    """Events for a push source."""

    push_source_name: str
    df: Columns | None = Field(None, description="The events, a list per column.")
    events: list[dict[str, Any]] | None = Field(None, description="The events one by one, in place of `df`.")
    to: Literal["online_and_offline", "offline", "online"] = "online_and_offline"
    offsets: dict[str, int] = Field(default_factory=dict, description="Producer → the offset of its last event here.")


class WriteRequest(_Written):
    """Rows for a view."""

    feature_view_name: str
    df: Columns


class PushDocument(BaseModel):
    """What became of a push."""

    model_config = ConfigDict(extra="allow")
    source: str
    appended: int
    rejected: int
    first: int
    last: int
    known: int
    duplicate: bool
    rejections: list[dict[str, Any]]
    online: list[dict[str, Any]]


class LoadRequest(Asked):
    """What to load."""

    start_ts: str | None = Field(None, description="The first instant; left out, from the beginning.")
    end_ts: str | None = Field(None, description="What happened later is left for later; left out, now.")
    feature_views: list[str] | None = Field(None, description="Views; all that are online by default.")
    disable_event_timestamp: bool = Field(False, description="Load all there is, whatever the instants say.")
    version: str | None = Field(None, description="The version of the one view named, such as `v2`.")
    full_feature_names: bool = Field(False, description="Feast's; it has no effect.")
    replace: bool = Field(False, description="In place of all that is there.")


class IncrementalRequest(Asked):
    """Up to when to load what is new."""

    end_ts: str | None = Field(None, description="What happened later is left for later; left out, now.")
    feature_views: list[str] | None = Field(None, description="Views; all that are online by default.")
    version: str | None = Field(None, description="The version of the one view named, such as `v2`.")
    full_feature_names: bool = Field(False, description="Feast's; it has no effect.")


class ViewProgress(BaseModel):
    """How far a view's load is."""

    view: str
    rows: int


class JobDocument(BaseModel):
    """A load."""

    model_config = ConfigDict(extra="allow")
    id: str
    kind: str
    status: Literal["queued", "running", "done", "failed"]
    asked: dict[str, Any]
    by: str
    created: str
    started: str | None
    ended: str | None
    progress: list[ViewProgress]
    report: dict[str, Any] | None
    error: dict[str, Any] | None


class JobList(BaseModel):
    """Loads, newest first."""

    jobs: list[JobDocument]


class Health(BaseModel):
    """How the server is."""

    status: Literal["live", "ready", "not ready"]
    project: str | None = None
    registry_version: int | None = None
    reasons: dict[str, str] | None = Field(None, description="Part → why it is not ready.")
