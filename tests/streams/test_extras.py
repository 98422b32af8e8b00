"""A driver that is not installed is an error that says how to install it."""

from __future__ import annotations

import importlib
import sys

import pytest

from gnomon.errors import MissingExtra


@pytest.mark.parametrize(
    ("module", "driver", "extra"),
    [
        ("gnomon.streams.kafka", "confluent_kafka", "kafka"),
        ("gnomon.streams.redis_streams", "redis", "redis"),
        ("gnomon.formats.avro", "fastavro", "avro"),
        ("gnomon.formats.protobuf", "google.protobuf.message", "protobuf"),
    ],
)
def test_the_extra_is_named(module: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(MissingExtra, match=rf"pip install 'gnomon\[{extra}\]'"):
        importlib.import_module(module)
