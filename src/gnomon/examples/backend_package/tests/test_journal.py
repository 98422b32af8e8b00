"""The contract's own tests, and what only this store has."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from gnomon_journal import JournalStore

from gnomon.clock import ManualClock
from gnomon.contracts.online import Table
from gnomon.contracts.plugins import Context
from gnomon.errors import BackendError, ConfigError, NewerFormat
from gnomon.testing.conformance import OnlineStoreSuite, appended, put

TABLE = Table("shop", "profile@1")


def opened(folder: Path) -> JournalStore:
    """A store over a folder's journals."""
    return JournalStore({"path": "online"}, Context(repo_path=folder, project="shop", clock=ManualClock()))


class TestJournalStore(OnlineStoreSuite):
    """All that every online store must do, but for two stores at once."""

    gaps = {  # noqa: RUF012
        "test_closing_twice_is_fine": BackendError,
        "test_two_open_stores_amend_the_same_entities": BackendError,
        "test_two_open_stores_see_each_other": BackendError,
    }

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Callable[[], JournalStore]:
        """Opens the same folder each time."""
        return lambda: opened(tmp_path)


def test_a_batch_cut_short_is_not_there(tmp_path: Path) -> None:
    """Wherever the process died while writing it; and the next batch follows the last whole one."""
    with closing(opened(tmp_path)) as store:
        store.write(TABLE, [(b"a", b"1")], put)
        (journal,) = (tmp_path / "online").glob("*.jsonl")
        before = journal.read_bytes()
        store.write(TABLE, [(b"a", b"2"), (b"b", b"2")], appended)
        after = journal.read_bytes()
    for end in range(len(before), len(after)):
        journal.write_bytes(after[:end])
        with closing(opened(tmp_path)) as store:
            assert store.read([(TABLE, [b"a", b"b"])]) == [[b"1", None]]
            store.write(TABLE, [(b"b", b"3")], put)
        with closing(opened(tmp_path)) as store:
            assert store.read([(TABLE, [b"a", b"b"])]) == [[b"1", b"3"]]


def test_a_table_cut_short_in_its_first_line_is_none(tmp_path: Path) -> None:
    """It was never there."""
    with closing(opened(tmp_path)) as store:
        store.note(TABLE, "n", b"v")
    (journal,) = (tmp_path / "online").glob("*.jsonl")
    journal.write_bytes(journal.read_bytes()[:10])
    with closing(opened(tmp_path)) as store:
        assert store.notes(TABLE) == {}
        store.note(TABLE, "n", b"w")
        assert store.notes(TABLE) == {"n": b"w"}


@pytest.mark.parametrize(
    ("line", "error"), [(b"{]\n", BackendError), (b"7\n", BackendError), (b'{"format": 2}\n', NewerFormat)]
)
def test_a_damaged_or_newer_journal_is_named(tmp_path: Path, line: bytes, error: type[BackendError]) -> None:
    """With the next step."""
    with closing(opened(tmp_path)) as store:
        store.write(TABLE, [(b"a", b"1")], put)
    (journal,) = (tmp_path / "online").glob("*.jsonl")
    journal.write_bytes(line + journal.read_bytes())
    with pytest.raises(error, match=journal.name):
        opened(tmp_path)


def test_a_folder_is_open_once(tmp_path: Path) -> None:
    """Until it is closed."""
    with closing(opened(tmp_path)), pytest.raises(BackendError, match="open in another store"):
        opened(tmp_path)
    opened(tmp_path).close()


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    """And the nearest known one is named."""
    with pytest.raises(ConfigError, match="did you mean 'path'"):
        JournalStore({"pth": "x"}, Context(repo_path=tmp_path, project="shop", clock=ManualClock()))
