"""The configuration: what a file may say, and what is said back when it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnomon.config import IGNORED, NOT_YET, Backend, RepoConfig, load, project_name
from gnomon.errors import ConfigError, GnomonError


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


def configured(repo: Path, text: str) -> RepoConfig:
    (repo / "feature_store.yaml").write_text(text, encoding="utf-8")
    return load(repo)


def refused(repo: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        configured(repo, text)
    return str(caught.value)


def test_no_file_means_everything_embedded_under_the_repo(repo: Path) -> None:
    config = load(repo)
    assert config == RepoConfig(
        project="shop",
        repo_path=repo,
        registry=Backend("sql", {"path": ".gnomon/registry.db"}),
        online_store=Backend("lmdb", {"path": ".gnomon/online.lmdb"}),
        offline_store=Backend("duckdb"),
        provider="local",
    )


def test_a_feast_file_reads_as_it_does_there(repo: Path) -> None:
    config = configured(
        repo,
        """
        project: driver_ranking
        provider: local
        registry: {registry_type: sql, path: "sqlite:///data/r.db", cache_ttl_seconds: 60}
        online_store: {type: memory}
        offline_store: {type: file}
        entity_key_serialization_version: 3
        flags: {alpha_features: true}
        coerce_tz_aware: false
        """,
    )
    assert config.project == "driver_ranking"
    assert config.registry == Backend("sql", {"path": "sqlite:///data/r.db"})
    assert (config.cache_ttl_seconds, config.entity_key_serialization_version) == (60, 3)
    assert (config.online_store, config.offline_store) == (Backend("memory"), Backend("file"))
    assert config.ignored == ("flags", "coerce_tz_aware")


@pytest.mark.parametrize(
    ("line", "where", "expected"),
    [
        ("registry: data/registry.db", "registry", Backend("sql", {"path": "data/registry.db"})),
        ("registry: {registry_type: file, path: r.db}", "registry", Backend("sql", {"path": "r.db"})),
        ("registry: {cache_ttl_seconds: 0}", "registry", Backend("sql", {"path": ".gnomon/registry.db"})),
        ("registry: {registry_type: mine, path: x, a: 1}", "registry", Backend("mine", {"path": "x", "a": 1})),
        ("registry:", "registry", Backend("sql", {"path": ".gnomon/registry.db"})),
        ("online_store: memory", "online_store", Backend("memory")),
        ("online_store: lmdb", "online_store", Backend("lmdb", {"path": ".gnomon/online.lmdb"})),
        ("online_store: {path: o}", "online_store", Backend("lmdb", {"path": "o"})),
        ("online_store:", "online_store", None),
        ("online_store: null", "online_store", None),
        ("offline_store: duckdb", "offline_store", Backend("duckdb")),
        ("offline_store: {memory_limit: 4GiB}", "offline_store", Backend("duckdb", {"memory_limit": "4GiB"})),
        ("offline_store:", "offline_store", Backend("duckdb")),
    ],
)
def test_short_and_long_forms(repo: Path, line: str, where: str, expected: object) -> None:
    assert getattr(configured(repo, f"project: p\n{line}\n"), where) == expected


@pytest.mark.parametrize("key", IGNORED)
def test_harmless_keys_are_accepted_and_named(repo: Path, key: str) -> None:
    assert configured(repo, f"project: p\n{key}: {{a: 1}}\n").ignored == (key,)


@pytest.mark.parametrize("key", NOT_YET)
def test_keys_nobody_follows_yet_are_refused_by_name(repo: Path, key: str) -> None:
    assert f"{key} is not supported yet" in refused(repo, f"project: p\n{key}: {{type: oidc}}\n")


@pytest.mark.parametrize(
    "line",
    ["batch_engine_config: {type: local}", "batch_engine: local", "mlflow: {enabled: false}", "openlineage:"],
)
def test_keys_that_ask_for_nothing_pass(repo: Path, line: str) -> None:
    assert configured(repo, f"project: p\n{line}\n").ignored == (line.split(":")[0],)


def test_what_concerns_the_server_is_handed_on(repo: Path) -> None:
    config = configured(repo, "project: p\nauth: no_auth\nfeature_server: {port: 7000}\n")
    assert (config.auth, config.feature_server) == ({"type": "no_auth"}, {"port": 7000})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("project: p\nonlin_store: lmdb", ["unknown key 'onlin_store'", "did you mean 'online_store'?"]),
        ("project: p\nzebra: 1", ["unknown key 'zebra'", "Known: project"]),
        ("provider: local", ["names no project", "`project: shop`"]),
        ("project:", ["names no project"]),
        ("project: my shop", ["project name 'my shop'", "letters"]),
        ("project: 7", ["project name 7"]),
        ("project: p\nprovider: gcp", ["provider is 'gcp'", "`provider: local`"]),
        ("project: p\nonline_store: {type: milvus}", ["type 'milvus' is not supported yet", "`type: lmdb`"]),
        ("project: p\nonline_store: {type: [a]}", ["online_store: type is ['a']"]),
        ("project: p\nonline_store: 7", ["online_store is 7", "{type: …}"]),
        ("project: p\noffline_store: dask", ["type 'dask' is not supported yet", "`type: duckdb`"]),
        ("project: p\noffline_store: [a]", ["offline_store is ['a']"]),
        ("project: p\nregistry: s3://bucket/registry.db", ["s3:// paths are not supported yet", "postgresql"]),
        ("project: p\nregistry: {path: 7}", ["registry: path is 7"]),
        ("project: p\nregistry: {registry_type: remote, path: a}", ["registry_type 'remote' is not supported"]),
        ("project: p\nregistry: {cache_ttl_seconds: soon}", ["cache_ttl_seconds is 'soon'", "whole number"]),
        ("project: p\nregistry: {cache_ttl_seconds: -1}", ["cache_ttl_seconds is -1"]),
        ("project: p\nentity_key_serialization_version: true", ["entity_key_serialization_version is True"]),
    ],
)
def test_what_cannot_be_followed_is_said_with_the_file_and_the_next_step(
    repo: Path, text: str, expected: list[str]
) -> None:
    message = refused(repo, text)
    assert message.startswith(str(repo / "feature_store.yaml"))
    assert [part for part in expected if part not in message] == []


def test_a_folder_that_is_not_there(repo: Path) -> None:
    with pytest.raises(ConfigError, match="is not there"):
        load(repo / "nowhere")


def test_a_file_where_a_folder_should_be(repo: Path) -> None:
    (repo / "feature_store.yaml").write_text("project: p")
    with pytest.raises(ConfigError, match="is a file"):
        load(repo / "feature_store.yaml")


def test_the_other_ending_is_not_silently_passed_over(repo: Path) -> None:
    (repo / "feature_store.yml").write_text("project: p")
    with pytest.raises(ConfigError, match=r"rename it to feature_store\.yaml"):
        load(repo)


@pytest.mark.parametrize(
    ("folder", "name"),
    [("shop", "shop"), ("my shop", "my_shop"), ("2024", "_2024"), ("…", "default"), ("a.b-c", "a.b-c")],
)
def test_a_folders_project_name_is_always_a_valid_one(tmp_path: Path, folder: str, name: str) -> None:
    assert project_name(tmp_path / folder) == name
    (tmp_path / folder).mkdir()
    assert load(tmp_path / folder).project == name


def test_printing_a_configuration_shows_no_secret(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DB": "hunter2", "PIN": "4711", "HOST": "redis-7"}.items():
        monkeypatch.setenv(name, value)
    config = configured(
        repo,
        """
        project: p
        registry: postgresql+psycopg://me:${DB}@db/${NAME:-features}
        online_store: {type: mine, password: xyzzy, hosts: ["$HOST", "a:1,password=sesame"], pin: $PIN}
        """,
    )
    assert config.registry.options["path"] == "postgresql+psycopg://me:hunter2@db/features"
    assert config.online_store is not None
    assert config.online_store.options["pin"] == 4711
    shown = repr(config)
    assert [secret for secret in ("hunter2", "xyzzy", "sesame", "4711", "redis-7") if secret in shown] == []
    assert "$HOST" in shown
    assert "me:***@db" in shown


def test_every_mistake_is_one_gnomon_error(repo: Path) -> None:
    with pytest.raises(GnomonError) as caught:
        configured(repo, "project: p\nonlin_store: lmdb")
    assert caught.value.hint == "did you mean 'online_store'?"
