"""gnomon: a feature store that says what was known, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gnomon.core.windows import Window
from gnomon.definitions import agg
from gnomon.definitions.entities import Entity, Feature, Field
from gnomon.definitions.formats import AvroFormat, JsonFormat, ProtoFormat
from gnomon.definitions.logging import LoggingConfig
from gnomon.definitions.on_demand import OnDemandFeatureView, RequestSource, on_demand_feature_view
from gnomon.definitions.services import FeatureService
from gnomon.definitions.sources import FileSource, PushSource
from gnomon.definitions.streams import KafkaSource, RedisStreamSource
from gnomon.definitions.views import FeatureView
from gnomon.errors import GnomonError
from gnomon.types import ValueType

if TYPE_CHECKING:
    from gnomon.store import FeatureStore

__version__ = "0.1.0"

__all__ = [
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


def __getattr__(name: str) -> Any:
    # The façade brings Arrow and SQLAlchemy along; a file of definitions needs neither.
    if name == "FeatureStore":
        from gnomon.store import FeatureStore

        return FeatureStore
    raise AttributeError(f"module 'gnomon' has no attribute {name!r}")
