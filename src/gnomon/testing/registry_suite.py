"""What every registry must do, as tests: subclass `RegistrySuite` and give it a fixture that opens yours.

    class TestMine(RegistrySuite):
        @pytest.fixture
        def open_registry(self, tmp_path):
            return lambda: MyRegistry({"path": …}, Context(repo_path=tmp_path, …))

Each call of the fixture's value must open the same storage anew, as another process would; it starts out empty.
What yours cannot do is declared as `gaps` (`gnomon.testing.gaps`).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from gnomon.contracts.registry import Change, Registry, Run
from gnomon.definitions.catalog import Catalog
from gnomon.definitions.entities import Entity
from gnomon.definitions.sources import FileSource
from gnomon.definitions.views import FeatureView
from gnomon.errors import ConflictError, RequestError
from gnomon.plan.changes import apply_changes, diff
from gnomon.testing.catalogs import states as drawn_states
from gnomon.testing.gaps import Suite

__all__ = ["Open", "RegistrySuite"]

Open = Callable[[], Registry]

_USER = Catalog.of([Entity(name="user")])
_OWNED = Catalog.of([Entity(name="user", owner="risk")])
_VIEW = Catalog.of([FeatureView(name="profile", entities=["user"], source=FileSource(path="users.parquet"))])

# Hypothesis keeps the fixture over its examples; each takes a project of its own.
_examples = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors])


class RegistrySuite(Suite):
    """The registry contract, test by test."""

    @pytest.fixture
    def open_registry(self) -> Open:
        """Opens the registry under test; authors override it."""
        raise NotImplementedError("give your subclass a fixture `open_registry`")

    @pytest.fixture
    def registry(self, open_registry: Open) -> Iterator[Registry]:
        """One open registry."""
        with closing(open_registry()) as registry:
            yield registry

    def test_a_new_project_is_empty(self, registry: Registry) -> None:
        """Nothing there is version 0, not an error."""
        snapshot = registry.read("p")
        assert (snapshot.project, snapshot.version, snapshot.catalog) == ("p", 0, Catalog())
        assert registry.read("p", version=0) == snapshot
        assert (registry.history("p"), registry.runs("p"), registry.projects()) == ([], [], [])

    @_examples
    @given(states=drawn_states())
    def test_every_state_comes_back(self, registry: Registry, states: list[Catalog]) -> None:
        """read(version=k) is the state after commit k, and history holds the changes that led there."""
        project, version, kept = uuid.uuid4().hex, 0, [Catalog()]
        for state in states:
            changes = diff(kept[-1], state)
            version = registry.commit(project, changes, expected_version=version, at=version, by="ann")
            kept += [state] if changes else []
        assert version == len(kept) - 1
        assert [registry.read(project, version=one).catalog for one in range(len(kept))] == kept
        assert registry.read(project).catalog == kept[-1]
        replayed = [Catalog()]
        for commit in reversed(registry.history(project)):
            replayed.append(apply_changes(replayed[-1], commit.changes))
        assert replayed == kept

    def test_history_is_newest_first_and_says_who_and_when(self, registry: Registry) -> None:
        """Commits come back as they were made."""
        first, second = diff(Catalog(), _USER), diff(_USER, _VIEW)
        registry.commit("p", first, expected_version=0, at=10, by="ann")
        registry.commit("p", second, expected_version=1, at=20, by="bob")
        commits = registry.history("p")
        assert [(one.version, one.at, one.by) for one in commits] == [(2, 20, "bob"), (1, 10, "ann")]
        assert [one.changes for one in commits] == [second, first]
        assert registry.history("p", limit=1) == commits[:1]
        assert registry.history("p", limit=0) == []

    def test_going_back_is_a_commit(self, registry: Registry) -> None:
        """Rollback needs nothing of its own."""
        registry.commit("p", diff(Catalog(), _VIEW), expected_version=0, at=1, by="ann")
        registry.commit("p", diff(_VIEW, _OWNED), expected_version=1, at=2, by="ann")
        back = diff(registry.read("p").catalog, registry.read("p", version=1).catalog)
        assert registry.commit("p", back, expected_version=2, at=3, by="ann") == 3
        assert registry.read("p").catalog == _VIEW
        assert registry.read("p", version=2).catalog == _OWNED

    def test_another_version_is_a_conflict(self, registry: Registry) -> None:
        """The error names the newest version, its author and what to do; nothing is changed."""
        registry.commit("p", diff(Catalog(), _USER), expected_version=0, at=1_700_000_000_000_000, by="ann")
        for expected in (0, 2):
            for changes in (diff(Catalog(), _OWNED), ()):
                with pytest.raises(ConflictError) as caught:
                    registry.commit("p", changes, expected_version=expected, at=2, by="bob")
                assert all(word in str(caught.value) for word in ("version 1", "ann", "2023-11-14", "entity user"))
        assert registry.read("p").catalog == _USER
        assert len(registry.history("p")) == 1

    def test_a_change_made_for_another_state_is_a_conflict(self, registry: Registry) -> None:
        """The right version is not enough: what the change replaces must be there."""
        registry.commit("p", diff(Catalog(), _USER), expected_version=0, at=1, by="ann")
        stale: list[tuple[Change, ...]] = [diff(Catalog(), _USER), diff(_OWNED, Catalog()), diff(_VIEW, Catalog())]
        for changes in stale:
            with pytest.raises(ConflictError):
                registry.commit("p", changes, expected_version=1, at=2, by="bob")
        assert (registry.read("p").version, registry.read("p").catalog) == (1, _USER)

    def test_no_changes_make_no_commit(self, registry: Registry) -> None:
        """Applying what is there already leaves no trace."""
        assert registry.commit("p", (), expected_version=0, at=1, by="ann") == 0
        assert registry.projects() == []

    def test_versions_that_never_were(self, registry: Registry) -> None:
        """Asking for them is the caller's error."""
        registry.commit("p", diff(Catalog(), _USER), expected_version=0, at=1, by="ann")
        for version in (-1, 2):
            with pytest.raises(RequestError, match="no version"):
                registry.read("p", version=version)

    def test_of_racing_commits_one_wins(self, open_registry: Open) -> None:
        """Each of several threads commits on version 0; one succeeds, the others are told."""
        barrier, outcomes = threading.Barrier(4), []

        def race(name: str) -> None:
            with closing(open_registry()) as mine:
                changes = diff(Catalog(), Catalog.of([Entity(name=name)]))
                barrier.wait(30)
                try:
                    outcomes.append(mine.commit("p", changes, expected_version=0, at=1, by=name))
                except ConflictError:
                    outcomes.append(0)

        threads = [threading.Thread(target=race, args=(name,)) for name in ("a", "b", "c", "d")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(outcomes) == [0, 0, 0, 1]
        with closing(open_registry()) as registry:
            (commit,) = registry.history("p")
            assert list(registry.read("p").catalog.entities) == [commit.by]

    def test_projects_never_see_each_other(self, registry: Registry) -> None:
        """Forgetting one leaves the other whole."""
        registry.commit("one", diff(Catalog(), _VIEW), expected_version=0, at=1, by="ann")
        registry.commit("two", diff(Catalog(), _USER), expected_version=0, at=1, by="ann")
        registry.record("one", _run())
        registry.record("two", _run())
        assert registry.projects() == ["one", "two"]
        two = registry.read("two"), registry.history("two"), registry.runs("two")
        registry.forget("one")
        registry.forget("one")
        registry.forget("never")
        assert registry.projects() == ["two"]
        assert (registry.read("two"), registry.history("two"), registry.runs("two")) == two
        assert (registry.read("one").version, registry.history("one"), registry.runs("one")) == (0, [], [])

    def test_runs_come_back_newest_first(self, registry: Registry) -> None:
        """As they were recorded, by view or all together; of each view only the last keeps its files."""
        first, second = _run(rows=1), _run(rows=2, start=None, replaced=True)
        other = _run("spend@2")
        for one in (first, second, other):
            registry.record("p", one)
        assert registry.runs("p", "profile@1") == [second, replace(first, files=())]
        assert registry.runs("p") == [other, second, replace(first, files=())]
        assert registry.runs("p", "never@1") == []

    def test_each_view_keeps_its_last_hundred_runs(self, registry: Registry) -> None:
        """So that the registry stays small however often one materializes."""
        registry.record("p", _run("spend@1"))
        for rows in range(103):
            registry.record("p", _run(rows=rows))
        assert [one.rows for one in registry.runs("p", "profile@1")] == list(range(102, 2, -1))
        assert len(registry.runs("p", "spend@1")) == 1

    def test_others_see_what_is_committed(self, open_registry: Open) -> None:
        """Another registry on the same storage, opened before or after, reads it at once."""
        with closing(open_registry()) as before, closing(open_registry()) as writer:
            assert before.read("p").version == 0
            writer.commit("p", diff(Catalog(), _VIEW), expected_version=0, at=1, by="ann")
            writer.record("p", _run())
            with closing(open_registry()) as after:
                assert before.read("p") == after.read("p") == writer.read("p")
                assert before.runs("p") == after.runs("p") == [_run()]
                assert after.read("p").catalog == _VIEW

    def test_closing_twice_is_fine(self, open_registry: Open) -> None:
        """And what was committed stays."""
        registry = open_registry()
        registry.commit("p", diff(Catalog(), _USER), expected_version=0, at=1, by="ann")
        registry.close()
        registry.close()
        with closing(open_registry()) as again:
            assert again.read("p").catalog == _USER


def _run(view: str = "profile@1", rows: int = 5, start: int | None = -5, replaced: bool = False) -> Run:
    files = (("/data/größe.parquet", 2**40, 1_700_000_000_000_000_001), ("/data/b.parquet", 0, 0))
    return Run(
        view=view,
        fingerprint="ab" * 16,
        start=start,
        end=1_700_000_000_000_000,
        started=1,
        finished=2,
        rows=rows,
        replaced=replaced,
        files=files,
    )
