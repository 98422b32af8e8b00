"""What every store of API keys must do, as tests: subclass `KeySuite` and give it a fixture that opens yours.

    class TestMine(KeySuite):
        @pytest.fixture
        def open_keys(self, tmp_path):
            return lambda: MyKeys({"path": …}, Context(repo_path=tmp_path, …))

Each call of the fixture's value must open the same storage anew, as another process would; it starts out empty.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from gnomon.contracts.keys import ApiKey, KeyStore, Scope
from gnomon.errors import ConflictError, NotRegistered
from gnomon.testing.gaps import Suite

__all__ = ["KeySuite", "OpenKeys"]

OpenKeys = Callable[[], KeyStore]

PLAIN = ApiKey(
    id="0123456789ab",
    name="größe 'x' \"y\"",
    sha256="ab" * 32,
    scopes=(Scope.READ,),
    projects=("shop",),
    created=1_700_000_000_000_000,
    by="ann",
)
FULL = ApiKey(
    id="ba9876543210",
    name="all",
    sha256="cd" * 32,
    scopes=tuple(Scope),
    projects=("*", "shop", "größe"),
    created=1_700_000_000_000_001,
    by="bob",
    expires=1_800_000_000_000_000,
    rate_limit=0,
)


class KeySuite(Suite):
    """The contract of key stores, test by test."""

    @pytest.fixture
    def open_keys(self) -> OpenKeys:
        """Opens the store under test; authors override it."""
        raise NotImplementedError("give your subclass a fixture `open_keys`")

    @pytest.fixture
    def keys(self, open_keys: OpenKeys) -> Iterator[KeyStore]:
        """One open store."""
        with closing(open_keys()) as keys:
            yield keys

    def test_at_first_there_are_none(self, keys: KeyStore) -> None:
        """Nothing there is no error; and what is not there cannot be revoked."""
        assert keys.all() == []
        with pytest.raises(NotRegistered):
            keys.revoke(PLAIN.id, 1)
        assert keys.all() == []

    def test_keys_come_back_as_they_were_oldest_first(self, open_keys: OpenKeys) -> None:
        """Others see them at once."""
        with closing(open_keys()) as before, closing(open_keys()) as writer:
            assert before.all() == []
            writer.add(FULL)
            writer.add(PLAIN)
            assert before.all() == writer.all() == [PLAIN, FULL]
            with closing(open_keys()) as after:
                assert after.all() == [PLAIN, FULL]

    def test_an_id_stands_once(self, keys: KeyStore) -> None:
        """The first stays as it was."""
        keys.add(PLAIN)
        with pytest.raises(ConflictError, match=PLAIN.id):
            keys.add(replace(FULL, id=PLAIN.id))
        assert keys.all() == [PLAIN]

    def test_revoked_once_is_revoked_for_good(self, keys: KeyStore) -> None:
        """It stays listed, since the first time; other keys stay good."""
        keys.add(PLAIN)
        keys.add(FULL)
        gone = replace(PLAIN, revoked=5)
        assert keys.revoke(PLAIN.id, 5) == gone
        assert keys.revoke(PLAIN.id, 7) == gone
        assert keys.all() == [gone, FULL]
        with pytest.raises(NotRegistered, match=PLAIN.id):
            keys.revoke(PLAIN.id[:-1] + "c", 8)

    def test_keys_made_at_once_are_all_kept(self, open_keys: OpenKeys) -> None:
        """Also the very first ones."""
        made = [replace(PLAIN, id=f"{number:012x}", created=number) for number in range(8)]

        def add(key: ApiKey) -> None:
            with closing(open_keys()) as mine:
                mine.add(key)

        threads = [threading.Thread(target=add, args=(key,)) for key in made]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        with closing(open_keys()) as keys:
            assert keys.all() == made

    def test_closing_twice_is_fine(self, open_keys: OpenKeys) -> None:
        """And what was kept stays."""
        keys = open_keys()
        keys.add(PLAIN)
        keys.close()
        keys.close()
        with closing(open_keys()) as again:
            assert again.all() == [PLAIN]
