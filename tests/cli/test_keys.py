"""The commands about API keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnomon import FeatureStore
from gnomon.flows.keys import TOKEN

from .conftest import Run


def test_making_listing_revoking(repo: Path, run: Run) -> None:
    assert "There is no key." in run("keys", "list").out
    said = run("keys", "create", "--name", "the churn model")
    token = said.out.strip()
    found = TOKEN.fullmatch(token.encode())
    assert found is not None
    key_id = found[1].decode()
    assert "it is not shown again" in said.err
    (listed,) = run("keys", "list", "--json").json
    assert (listed["id"], listed["name"], listed["scopes"]) == (key_id, "the churn model", ["read"])
    assert (listed["projects"], listed["expires"], listed["revoked"]) == (["shop"], None, None)
    secret = token.rpartition(key_id)[2]
    assert "sha256" not in listed
    assert secret not in run("keys", "list").out
    assert not [one for one in repo.rglob("*") if one.is_file() and secret.encode() in one.read_bytes()]
    assert f"Key {key_id} (the churn model) is revoked." in run("keys", "revoke", key_id).out
    assert "revoked 20" in run("keys", "list").out
    assert run("keys", "revoke", key_id, "--json").json["revoked"] == run("keys", "list", "--json").json[0]["revoked"]


def test_all_that_can_be_said_of_one(repo: Path, run: Run) -> None:
    words = ("--scope", "write", "--scope", "read", "--project", "shop", "--project", "other", "--expires", "90d")
    made = run("keys", "create", "--name", "pipeline", *words, "--rate-limit", "50", "--json").json
    assert (made["scopes"], made["projects"], made["rate_limit"]) == (["read", "write"], ["shop", "other"], 50)
    assert made["expires"] > made["created"]
    assert "good until" in run("keys", "list").out
    with FeatureStore(repo) as store:
        assert [one.id for one in store.list_keys()] == [made["id"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--name", "x", "--scope", "raed"), "did you mean 'read'?"),
        (("--name", ""), "is no name of a key"),
        (("--name", "x" * 201), "is no name of a key"),
        (("--name", "x", "--expires", "soon"), "no duration"),
        (("--name", "x", "--expires", "0s"), "no use"),
        (("--name", "x", "--project", "a b"), "project"),
        (("--name", "x", "--rate-limit", "-1"), "rate limit"),
    ],
)
def test_what_cannot_be(repo: Path, run: Run, words: tuple[str, ...], said: str) -> None:
    answer = run("keys", "create", *words)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err
    assert run("keys", "list", "--json").json == []


def test_revoking_what_is_not_there(repo: Path, run: Run) -> None:
    answer = run("keys", "revoke", "0123456789ab")
    assert (answer.code, answer.out) == (1, "")
    assert "no key named '0123456789ab'" in answer.err
    assert "`gnomon keys list` shows those there are" in answer.err
