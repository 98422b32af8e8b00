import pytest
from redis_server import Server, cluster

from gnomon.testing.conformance import OnlineStoreSuite

redis = pytest.importorskip("redis")
from gnomon.online.redis.store import RedisStore  # noqa: E402


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request):
    with Server(request.param) as server:
        yield server


@pytest.fixture(scope="module", params=["redis", "valkey"])
def nodes(request):
    with cluster(request.param) as nodes:
        yield nodes


class TestRedis(OnlineStoreSuite):
    @pytest.fixture
    def make_store(self, server):
        with redis.Redis(port=server.port) as client:
            client.flushall()
        return lambda: RedisStore({"connection_string": server.address})


class TestCluster(OnlineStoreSuite):
    @pytest.fixture
    def make_store(self, nodes):
        for node in nodes:
            with redis.Redis(port=node.port) as client:
                client.flushall()
        hosts = ",".join(node.address for node in nodes[:2])
        return lambda: RedisStore({"connection_string": hosts, "redis_type": "redis_cluster"})
