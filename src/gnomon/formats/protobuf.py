"""Protobuf, by Google's runtime: a message of a generated class."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from gnomon.clock import EPOCH, MICROSECOND
from gnomon.contracts.formats import Decoded, Fields
from gnomon.definitions.formats import ProtoFormat
from gnomon.errors import DefinitionError, MissingExtra

try:
    from google.protobuf.message import DecodeError, Message
    from google.protobuf.timestamp_pb2 import Timestamp
except ModuleNotFoundError:
    raise MissingExtra(package="protobuf", extra="protobuf", purpose="ProtoFormat") from None

__all__ = ["ProtoDecoder"]


class ProtoDecoder:
    """Reads Protobuf messages.

    Args:
        format: the class.
        fields: field → the type wanted.

    Raises:
        DefinitionError: the class cannot be imported, or is none of messages.
    """

    def __init__(self, format: ProtoFormat, fields: Fields) -> None:  # noqa: A002
        self._class, self._skip = _imported(format.class_path), format.skip_bytes
        known = {one.name: one for one in self._class.DESCRIPTOR.fields}
        self._names = list(fields)
        self._read = {name: known[name] for name in fields if name in known}
        self._unknown = [name for name in known if name not in fields]

    def decode(self, payloads: Sequence[bytes]) -> Decoded:
        """The messages' fields; one that has presence and is not set is None."""
        failed: dict[int, str] = {}
        columns: dict[str, list[Any]] = {name: [] for name in self._names}
        for row, payload in enumerate(payloads):
            message = None
            try:
                message = self._class.FromString(payload[self._skip :])
            except DecodeError as wrong:
                failed[row] = f"no {self._class.__name__}: {wrong}"
            if not payload:
                message, failed[row] = None, "a message without anything in it"
            for name, values in columns.items():
                values.append(self._value(message, name))
        return Decoded({name: [values] for name, values in columns.items()}, failed, self._unknown)

    def _value(self, message: Any, name: str) -> Any:
        field = self._read.get(name)
        if message is None or field is None or (field.has_presence and not message.HasField(name)):
            return None
        value = getattr(message, name)
        if isinstance(value, Timestamp):
            return EPOCH + value.ToMicroseconds() * MICROSECOND
        return value if isinstance(value, (str, bytes, bool, int, float, Message)) else list(value)


def _imported(path: str) -> Any:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as wrong:
        raise DefinitionError(
            f"ProtoFormat: {path} cannot be imported: {wrong}.",
            hint="is the folder of the generated module on the Python path? The repo's is.",
        ) from wrong
    if not (isinstance(found, type) and issubclass(found, Message)):
        raise DefinitionError(f"ProtoFormat: {path} is no class of messages.", hint="name a generated class.")
    return found
