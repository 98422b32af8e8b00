"""Sources that events come from by themselves: a Kafka topic, a Redis stream. All else they are push sources.

    KafkaSource(name="payments", schema=[…], kafka_bootstrap_servers="k1:9092", topic="payments")

How events come into the log changes no value of those that are in it: where a stream is, and how its messages are read,
only describes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from gnomon.definitions.base import FrozenMap, check_tags, check_texts, describing, put
from gnomon.definitions.entities import Field
from gnomon.definitions.formats import FORMATS, Format, JsonFormat
from gnomon.definitions.sources import FileSource, PushSource
from gnomon.errors import DefinitionError

__all__ = ["STREAMS", "KafkaSource", "RedisStreamSource"]

TOPIC = re.compile(r"[A-Za-z0-9._\-]{1,249}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSource(PushSource):
    """Events of a Kafka topic, read by `gnomon stream run`; they can be pushed, too.

    Args:
        name: the source's name.
        kafka_bootstrap_servers: "host:port", several with commas. Passwords and the like stand in `feature_store.yaml`.
        topic: the topic.
        message_format: how a message is read: `JsonFormat()` by default, `AvroFormat(…)`, `ProtoFormat(…)`.
        field_mapping: field of a message → column of the schema.
        group: the consumer group whose members share the partitions; by default one for project and source.
        dead_letter_topic: a topic for what cannot be read, beside the files kept of it.
        schema: as of a `PushSource`, and so are the others.
        timestamp_field: the column of event times.
        event_id: the column that names an event.
        operation: the column that says what an event does.
        batch_source: files with further rows.
        cutover: the instant from which on the log has every event.
        description: for people.
        owner: for people.
        tags: for people; text to text.

    Raises:
        DefinitionError: an argument is unusable.

    >>> from gnomon.types import Int64, UnixTimestamp
    >>> fields = [Field("user_id", Int64), Field("at", UnixTimestamp)]
    >>> KafkaSource(name="clicks", schema=fields, kafka_bootstrap_servers="k1:9092", topic="clicks").where
    'Kafka topic clicks at k1:9092'
    """

    what: ClassVar[str] = "Kafka source"
    stream_type: ClassVar[str] = "kafka"

    kafka_bootstrap_servers: str = describing(default="")
    topic: str = describing(default="")
    message_format: Format = describing(default_factory=JsonFormat)  # noqa: RUF009
    field_mapping: Mapping[str, str] = describing(default_factory=FrozenMap)
    group: str = describing(default="")
    dead_letter_topic: str = describing(default="")

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            *,
            name: str,
            kafka_bootstrap_servers: str,
            topic: str,
            message_format: Format | None = None,
            field_mapping: Mapping[str, str] | None = None,
            group: str = "",
            dead_letter_topic: str = "",
            schema: Sequence[Field] | None = (),
            timestamp_field: str | None = "",
            event_id: str | None = "",
            operation: str | None = "",
            batch_source: FileSource | None = None,
            cutover: datetime | str | int | None = "",
            description: str = "",
            owner: str = "",
            tags: Mapping[str, str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        PushSource.__post_init__(self)
        owner = f"{self.what} {self.name!r}"
        check_texts(owner, kafka_bootstrap_servers=self.kafka_bootstrap_servers, group=self.group)
        if not self.kafka_bootstrap_servers.strip():
            raise DefinitionError(f"{owner} has no kafka_bootstrap_servers.", hint="write 'host:9092'.")
        for argument in ("topic", "dead_letter_topic"):
            topic = getattr(self, argument)
            if not (isinstance(topic, str) and TOPIC.fullmatch(topic)) and (topic or argument == "topic"):
                raise DefinitionError(
                    f"{owner}: {argument} is {topic!r}.", hint="a topic has up to 249 letters, digits, . _ or -."
                )
        if self.topic == self.dead_letter_topic:
            raise DefinitionError(f"{owner}: its dead letters go where they came from.", hint="name another topic.")
        put(self, **_reading(owner, self))

    @property
    def where(self) -> str:
        """The topic and its brokers, for messages."""
        return f"Kafka topic {self.topic} at {self.kafka_bootstrap_servers}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisStreamSource(PushSource):
    """Events of a Redis stream, read by `gnomon stream run`; they can be pushed, too.

    Args:
        name: the source's name.
        url: "redis://host:port/db". Passwords stand in `feature_store.yaml`.
        stream: the stream's key.
        field: the field of an entry that holds the message; where left out, the entry's fields are the columns, as
            texts.
        message_format: how a message is read: `JsonFormat()` by default, `AvroFormat(…)`, `ProtoFormat(…)`.
        field_mapping: field of a message → column of the schema.
        group: a consumer group whose pointer shows other tools how far the log is; by default one of the source's.
        schema: as of a `PushSource`, and so are the others.
        timestamp_field: the column of event times.
        event_id: the column that names an event.
        operation: the column that says what an event does.
        batch_source: files with further rows.
        cutover: the instant from which on the log has every event.
        description: for people.
        owner: for people.
        tags: for people; text to text.

    Raises:
        DefinitionError: an argument is unusable.
    """

    what: ClassVar[str] = "Redis source"
    stream_type: ClassVar[str] = "redis"

    url: str = describing(default="redis://localhost:6379")
    stream: str = describing(default="")
    field: str = describing(default="")
    message_format: Format = describing(default_factory=JsonFormat)  # noqa: RUF009
    field_mapping: Mapping[str, str] = describing(default_factory=FrozenMap)
    group: str = describing(default="")

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self,
            *,
            name: str,
            stream: str,
            url: str = "redis://localhost:6379",
            field: str = "",
            message_format: Format | None = None,
            field_mapping: Mapping[str, str] | None = None,
            group: str = "",
            schema: Sequence[Field] | None = (),
            timestamp_field: str | None = "",
            event_id: str | None = "",
            operation: str | None = "",
            batch_source: FileSource | None = None,
            cutover: datetime | str | int | None = "",
            description: str = "",
            owner: str = "",
            tags: Mapping[str, str] | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        PushSource.__post_init__(self)
        owner = f"{self.what} {self.name!r}"
        check_texts(owner, url=self.url, stream=self.stream, field=self.field, group=self.group)
        if not self.stream:
            raise DefinitionError(f"{owner} has no stream.", hint="stream= is the stream's key.")
        url = urlsplit(self.url)
        if url.scheme not in ("redis", "rediss"):
            raise DefinitionError(f"{owner}: its url has the scheme {url.scheme!r}.", hint="write redis://host:6379/0.")
        if url.password:
            raise DefinitionError(
                f"{owner}: its url holds a password, and definitions are read by many.",
                hint="write it in feature_store.yaml: streams: {redis: {url: …}}.",
            )
        put(self, **_reading(owner, self))

    @property
    def where(self) -> str:
        """The stream and its server, for messages."""
        url = urlsplit(self.url)
        return f"Redis stream {self.stream} at {url.hostname or 'localhost'}:{url.port or 6379}"


STREAMS = (KafkaSource, RedisStreamSource)
"""Push sources that events come to by themselves."""


def _reading(owner: str, source: KafkaSource | RedisStreamSource) -> dict[str, Any]:
    """How its messages are read, checked."""
    made = source.message_format or JsonFormat()
    if not isinstance(made, FORMATS):
        raise DefinitionError(
            f"{owner}: message_format is {made!r}.", hint="write JsonFormat(), AvroFormat(…) or ProtoFormat(…)."
        )
    mapping = check_tags(owner, source.field_mapping, "field_mapping")
    names = [one.name for one in source.schema]
    if unknown := [name for name in mapping.values() if names and name not in names]:
        raise DefinitionError(
            f"{owner}: field_mapping gives the column {unknown[0]!r}, which its schema has not.",
            hint="map fields of a message to columns of the schema.",
        )
    return {"message_format": made, "field_mapping": mapping}
