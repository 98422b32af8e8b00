"""How a message's bytes are read: JSON, Avro, Protobuf.

>>> JsonFormat(instants="ms")
JsonFormat(instants='ms', schema_json='')
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from gnomon.definitions.base import check_texts, describing
from gnomon.errors import DefinitionError

__all__ = ["FORMATS", "AvroFormat", "Format", "JsonFormat", "ProtoFormat"]

UNITS = ("", "s", "ms", "us")


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """A JSON object a message.

    Args:
        instants: what a number in a UnixTimestamp column counts since 1970: "s", "ms" or "us"; where left out, instants
            are ISO-8601 texts, and a number is refused.
        schema_json: for people.

    Raises:
        DefinitionError: the unit is none.
    """

    instants: str = ""
    schema_json: str = describing(default="")

    def __post_init__(self) -> None:
        check_texts("JsonFormat", schema_json=self.schema_json)
        if self.instants not in UNITS:
            raise DefinitionError(f"JsonFormat: instants is {self.instants!r}.", hint="write 's', 'ms' or 'us'.")


@dataclass(frozen=True, slots=True)
class AvroFormat:
    """An Avro record a message.

    Args:
        schema_json: the schema the messages are written with.
        skip_bytes: how many bytes stand before the record: 5 where a schema registry's client wrote it.

    Raises:
        DefinitionError: the schema is no JSON, or the number of bytes none.
    """

    schema_json: str
    skip_bytes: int = 0

    def __post_init__(self) -> None:
        try:
            json.loads(self.schema_json)
        except (TypeError, ValueError) as wrong:
            raise DefinitionError(
                f"AvroFormat: schema_json is no JSON: {wrong}.", hint="give the schema's text."
            ) from None
        _check_skipped("AvroFormat", self.skip_bytes)


@dataclass(frozen=True, slots=True)
class ProtoFormat:
    """A Protobuf message a message.

    Args:
        class_path: the generated class, `package.events_pb2.Payment`; it is imported where messages are read.
        skip_bytes: how many bytes stand before it: 6 where a schema registry's client wrote a file's first message.

    Raises:
        DefinitionError: the path is none, or the number of bytes.
    """

    class_path: str
    skip_bytes: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.class_path, str) or not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", self.class_path):
            raise DefinitionError(
                f"ProtoFormat: class_path is {self.class_path!r}.", hint="write 'package.events_pb2.Payment'."
            )
        _check_skipped("ProtoFormat", self.skip_bytes)


Format = JsonFormat | AvroFormat | ProtoFormat
"""Any of them."""

FORMATS = (JsonFormat, AvroFormat, ProtoFormat)


def _check_skipped(owner: str, count: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise DefinitionError(f"{owner}: skip_bytes is {count!r}.", hint="write a whole number from 0.")
