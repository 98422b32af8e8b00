import pytest
from gnomon.online.sqlite import SqliteStore
from gnomon.testing.conformance import OnlineStoreSuite


class TestSqlite(OnlineStoreSuite):
    @pytest.fixture
    def make_store(self, tmp_path):
        return lambda: SqliteStore({"path": str(tmp_path / "online.db")})
