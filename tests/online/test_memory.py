import pytest

from gnomon.errors import ConfigError
from gnomon.online.memory import MemoryStore
from gnomon.testing.conformance import OnlineStoreSuite


class TestMemory(OnlineStoreSuite):
    @pytest.fixture
    def make_store(self):
        return MemoryStore


def test_it_takes_no_options():
    with pytest.raises(ConfigError, match="unknown option 'path'"):
        MemoryStore({"path": "x"})
