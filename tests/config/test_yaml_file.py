"""Reading YAML: variables, and mistakes with their line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.config.yaml_file import expand, read
from gnomon.errors import ConfigError

ENVIRON = {"USER": "me", "HOST": "db", "EMPTY": "", "PORT": "6379", "EVIL": "x\nproject: other", "TRUE": "true"}


def document(tmp_path: Path, text: str | bytes) -> dict[str, object]:
    path = tmp_path / "feature_store.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, ENVIRON)


def refused(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        document(tmp_path, text)
    return str(caught.value).removeprefix(str(tmp_path / "feature_store.yaml"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("$USER@${HOST}", "me@db"),
        ("${NONE:-here}", "here"),
        ("${EMPTY:-here}", "here"),
        ("${NONE:-}", ""),
        ("$EMPTY", ""),
        ("${NONE:-a:-b c}", "a:-b c"),
        ("$$USER", "$USER"),
        ("$$$USER", "$me"),
        ("5$ and $5", "5$ and $5"),
        ("$USER.$HOST", "me.db"),
    ],
)
def test_variables(text: str, value: str) -> None:
    assert expand(text, "here", ENVIRON) == value


@given(st.text())
def test_a_text_with_its_dollars_doubled_stays_itself(text: str) -> None:
    assert expand(text.replace("$", "$$"), "here", {}) == text


@given(st.text(), st.text())
def test_what_a_variable_holds_is_never_expanded_again(before: str, value: str) -> None:
    assert expand(before.replace("$", "$$") + "${V}", "here", {"V": value}) == before + value


@pytest.mark.parametrize("text", ["${", "${}", "${USER", "${USER-x}", "${1}", "${USER:?no}"])
def test_a_brace_that_is_no_variable(text: str) -> None:
    with pytest.raises(ConfigError, match="begins no variable"):
        expand(text, "here", ENVIRON)


def test_an_unset_variable_is_named_with_its_key_and_line(tmp_path: Path) -> None:
    message = refused(tmp_path, "project: p\nregistry:\n  path: ${HOTS}/x\n")
    assert message.startswith(", line 3, path: the environment variable HOTS is not set.")
    assert "did you mean 'HOST'?" in message


def test_whole_numbers_come_out_as_numbers_unless_quoted(tmp_path: Path) -> None:
    found = document(tmp_path, "a: $PORT\nb: '$PORT'\nc: ${NONE:-4}\nd: $TRUE\ne: x$PORT")
    assert found == {"a": 6379, "b": "6379", "c": 4, "d": "true", "e": "x6379"}
    assert [type(found[key]).__mro__[-2] for key in "abc"] == [int, str, int]
    assert f"{found['a']} {found['b']} {found['e']}" == "6379 6379 x6379"
    assert repr(found["a"]) == "'$PORT'"


def test_a_variable_cannot_change_the_structure(tmp_path: Path) -> None:
    assert document(tmp_path, "project: p\nx: $EVIL") == {"project": "p", "x": "x\nproject: other"}


def test_keys_are_not_expanded(tmp_path: Path) -> None:
    assert document(tmp_path, "$USER: 1\na: {$HOST: 2}") == {"$USER": 1, "a": {"$HOST": 2}}


def test_an_alias_is_expanded_once(tmp_path: Path) -> None:
    assert document(tmp_path, "a: &a $$USER\nb: *a\nc: [*a]") == {"a": "$USER", "b": "$USER", "c": ["$USER"]}


def test_merging_is_no_duplicate(tmp_path: Path) -> None:
    text = "x:\n  base: &base {a: 1, b: 2}\n  more: &more {<<: *base, b: 3}\ny: {<<: *more, c: 4}"
    assert document(tmp_path, text) == {
        "x": {"base": {"a": 1, "b": 2}, "more": {"a": 1, "b": 3}},
        "y": {"a": 1, "b": 3, "c": 4},
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("project: p\nproject: q", ", line 2: the key 'project' stands twice."),
        ("a:\n  b: 1\n  c: 2\n  b: 3", ", line 4: the key 'b' stands twice."),
        ("project: p\nx: [1, 2", ", line 2: broken YAML"),
        ("a: b: c", ", line 1: broken YAML: mapping values are not allowed here."),
        ("project: p\n\tx: 1", ", line 2: broken YAML"),
        ("project: p\non: 1", ", line 2: the key 'on' is no text."),
        ("1: p", ", line 1: the key '1' is no text."),
        ("[a]: p", ", line 1: the key"),
        ("a: !!python/object/apply:os.system [x]", ", line 1: broken YAML: could not determine a constructor"),
        ("a: 1\n---\nb: 2", ", line 2: broken YAML"),
        ("a: *nobody", ", line 1: broken YAML: found undefined alias"),
        ("- a", " holds list."),
        ("project", " holds str."),
        ("a: \x00", ": broken YAML"),
        ("a: " + "[" * 5000, ": broken YAML"),
        (b"a: 1\nb: \xff", ", line 2: not UTF-8."),
        ("a: 1".encode("utf-16"), ", line 1: not UTF-8."),
    ],
)
def test_mistakes(tmp_path: Path, text: str | bytes, expected: str) -> None:
    assert refused(tmp_path, text).startswith(expected)


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    assert document(tmp_path, "# nothing yet\n") == {}


def test_a_byte_order_mark_is_no_part_of_it(tmp_path: Path) -> None:
    assert document(tmp_path, b"\xef\xbb\xbfproject: p") == {"project": "p"}


def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        read(tmp_path / "feature_store.yaml")


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigError, match="no such file"):
        read(tmp_path / "feature_store.yaml")
