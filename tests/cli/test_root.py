"""What every command shares: options in any place, errors in words or JSON, exit codes, a quick start."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import click
import pytest

from gnomon import __version__
from gnomon.cli import app
from gnomon.cli.root import Root, exit_code, hoisted
from gnomon.errors import BackendError, ConfigError, ConflictError, MissingExtra, NotRegistered, RequestError

from .conftest import Run

GNOMON = [sys.executable, "-c", "from gnomon.cli import main; main()"]


def process(*words: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*GNOMON, *words],
        cwd=cwd,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found += commands(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["plan", "--json"], ["--json", "plan"]),
        (["plan", "-c", "repo", "--prune"], ["-c", "repo", "plan", "--prune"]),
        (["plan", "--repo=a", "--debug"], ["--repo=a", "--debug", "plan"]),
        (["plan", "--", "--json"], ["plan", "--", "--json"]),
        (["plan", "-c"], ["-c", "plan"]),
        ([], []),
    ],
)
def test_common_options_may_stand_anywhere(given: list[str], expected: list[str]) -> None:
    assert hoisted(given) == expected


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RequestError("x"), 1),
        (ConfigError("x"), 1),
        (NotRegistered(kind="entity", name="x", known=[]), 1),
        (MissingExtra(package="p", extra="e", purpose="x"), 1),
        (ConflictError("x"), 3),
        (BackendError("x"), 4),
    ],
)
def test_exit_codes_say_who_must_act(error: Exception, code: int) -> None:
    assert exit_code(error) == code  # type: ignore[arg-type]


@pytest.mark.parametrize("path", commands(app), ids=" ".join)
def test_every_command_has_help_with_an_example(run: Run, path: tuple[str, ...]) -> None:
    said = run(*path, "--help")
    assert said.code == 0
    assert f"gnomon {' '.join(path)}" in said.out.split("Example", 1)[1]


def test_help_lists_commands_in_the_order_of_the_work_uncut(run: Run) -> None:
    listed = run("--help").out.split("Commands:")[1]
    places = [listed.index(f"  {name} ") for name in ("init", "plan", "apply", "materialize", "teardown")]
    assert places == sorted(places)
    assert "..." not in listed


def test_the_version(run: Run) -> None:
    assert run("version").out == run("--version").out == f"gnomon {__version__}\n"
    assert run("version", "--json").json == {"version": __version__}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["plna"], "No such command 'plna'. Did you mean 'plan'?"),
        (["entities", "lst"], "Did you mean 'list'?"),
        (["zzz"], "There are: init, demo"),
        (["plan", "--prnue"], "--prune"),
        (["history", "--limit", "0"], "0 is not in the range x>=1"),
        (["history", "--limit", "few"], "'few' is not a valid integer"),
        (["get-historical-features"], "Missing option '--spine'"),
        (["entities", "describe"], "Missing argument 'NAME'"),
    ],
)
def test_a_wrong_command_line_leaves_with_2_and_the_way_to_the_right_one(
    run: Run, words: list[str], expected: str
) -> None:
    said = run(*words)
    assert (said.code, said.out) == (2, "")
    assert expected in said.err
    in_json = run("--json", *words)
    assert (in_json.code, in_json.out, in_json.error["error"]) == (2, "", "UsageError")
    assert expected in in_json.error["message"]


def test_an_error_is_words_and_a_hint_not_a_traceback(run: Run, tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: p\nonlin_store: lmdb")
    said = run("plan")
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("ConfigError: ")
    assert "feature_store.yaml: unknown key 'onlin_store'" in said.err
    assert said.err.endswith("Hint: did you mean 'online_store'?\n")
    assert "Traceback" not in said.err
    assert "Traceback" in run("plan", "--debug").err


def test_an_error_in_json_is_one_object_with_the_facts_apart(run: Run, tmp_path: Path) -> None:
    (tmp_path / "feature_store.yaml").write_text("project: p\nonlin_store: lmdb")
    said = run("plan", "--json")
    assert (said.code, said.out) == (1, "")
    assert said.error["error"] == "ConfigError"
    assert said.error["hint"] == "did you mean 'online_store'?"
    assert "Hint" not in said.error["message"]


def test_a_repo_that_is_not_there(run: Run) -> None:
    said = run("-c", "nowhere", "plan")
    assert said.code == 1
    assert "nowhere' is not there" in said.err


def small(body: object) -> Root:
    group = Root("gnomon", params=[click.Option(["--json"], is_flag=True, expose_value=False)], callback=lambda: None)
    group.add_command(click.Command("go", callback=body))  # type: ignore[arg-type]
    return group


@pytest.mark.parametrize("raised", [KeyboardInterrupt, click.Abort])
def test_an_interruption_is_one_line_and_130(raised: type[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    def go() -> None:
        raise raised

    with pytest.raises(SystemExit) as left:
        small(go).main(["go"])
    assert left.value.code == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


def test_warnings_are_notes_without_a_place_in_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    def go() -> None:
        warnings.warn("rows count as known at once", UserWarning, stacklevel=1)

    with pytest.raises(SystemExit):
        small(go).main(["go"])
    assert capsys.readouterr().err == "Note: rows count as known at once\n"
    with pytest.raises(SystemExit):
        small(go).main(["go", "--json"])
    assert json.loads(capsys.readouterr().err) == {"warning": "rows count as known at once"}


def test_a_mistake_of_ours_still_shows_where_it_is() -> None:
    def go() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        small(go).main(["go"])


def test_help_and_version_start_quickly_and_load_no_back_end(tmp_path: Path) -> None:
    heavy = ("numpy", "pyarrow", "duckdb", "lmdb", "sqlalchemy", "rich", "yaml", "pydantic", "typer")
    script = textwrap.dedent(f"""
        import sys
        from gnomon.cli import main
        try:
            main()
        except SystemExit:
            print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)
    """)
    for words in (["--help"], ["version"], ["materialize", "--help"]):
        done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
        assert done.stderr == "[]\n"


def test_starting_takes_less_than_three_tenths_of_a_second(tmp_path: Path) -> None:
    def cpu_seconds(*words: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert process(*words, cwd=tmp_path).returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    for word in ("--help", "version"):
        assert min(cpu_seconds(word) for _ in range(5)) < 0.3


def test_a_process_leaves_with_the_code_and_without_a_traceback(tmp_path: Path) -> None:
    assert process("version", cwd=tmp_path).returncode == 0
    wrong = process("plna", cwd=tmp_path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    (tmp_path / "feature_store.yaml").write_text("project: p\nprovider: gcp")
    refused = process("plan", cwd=tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Traceback" not in refused.stderr + wrong.stderr
    assert "\x1b[" not in refused.stderr


def test_the_readmes_commands_in_real_processes_say_json_and_nothing_else(tmp_path: Path) -> None:
    steps = [
        ["init", "shop"],
        ["-c", "shop", "apply"],
        ["-c", "shop", "get-historical-features", "--spine", "trips.csv", "--service", "demand"],
        ["-c", "shop", "materialize-incremental"],
        ["-c", "shop", "get-online-features", "--service", "demand", "--entity", "station_id=1"],
    ]
    done = [process(*words, "--json", cwd=tmp_path) for words in steps]
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * len(steps)
    answers = [json.loads(one.stdout) for one in done]
    assert answers[2]["rows"] == 40
    assert answers[4]["bikes__status"] == ["PRESENT"]


def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full device")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*GNOMON, "version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.splitlines() == ["OSError: [Errno 28] No space left on device"]


def test_ctrl_c_on_a_real_process(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    os.mkfifo(rows)
    words = [*GNOMON, "get-online-features", "-f", "a:b", "--entities-json", f"@{rows}"]
    running = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running, rows.open("w"):  # opens once the process has opened its end, to read
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err.strip()) == (130, "", "Interrupted.")
