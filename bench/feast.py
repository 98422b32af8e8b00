"""gnomon beside Feast 0.67: the same files, the same questions in the same words (`bench/either.py`).

Feast lives in an environment of its own, made by pip when it is first needed and kept with the data. Its settings are
its defaults; of its offline stores both the default one (Dask over files) and DuckDB are asked. A run of Feast may take
ten minutes and 14 GiB; where it does not finish, the table says so. Every training set is held, row by row, against
DuckDB's bare ASOF join over the same files, in which no two rows tie. Loads run once; all else in turns, three times,
or once where that takes more than a minute.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from bench import startup
from bench.data import FEATURES, PEOPLE, deep, entities, history, sparse, spine
from bench.measure import CACHE, Figure, Median, UnfinishedError, in_its_own_process
from bench.online_stores import program, server
from bench.table import Row

FEAST = "feast[duckdb,redis]==0.67.*"
BARE_FEAST = "feast==0.67.*"
SECONDS = 600
MEMORY = 14 << 30
RUNS = 3
ENOUGH = 60
"""Seconds by the clock after which something is not run again."""
SIZES = (1, 10, 100)

Taken = Median | str
"""What something took; or why it did not finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A library, with the stores it shall use.

    Args:
        library: `gnomon` or `feast`.
        offline: the type of its offline store; `file` is what either calls its default one.
        online: the type of its online store.
    """

    library: str
    offline: str = "file"
    online: str = "sqlite"

    def ask(self, question: str, *args: object) -> Figure:
        """A function of `bench.either`, run in the library's own environment."""
        target, told = f"bench.either:{question}", (self.library, *map(str, args))
        if self.library == "gnomon":
            return in_its_own_process(target, *told)
        python = startup.environment(CACHE / "feast", FEAST)
        return in_its_own_process(target, *told, python=python, seconds=SECONDS, memory=MEMORY)

    @contextmanager
    def repo(self, source: Path) -> Iterator[Path]:
        """A folder with the one view applied, and a Redis server if it needs one, for as long as it is used."""
        with ExitStack() as used:
            folder = Path(used.enter_context(tempfile.TemporaryDirectory(prefix="gnomon-bench-")))
            place = f"path: online.{self.online}"
            if self.online == "redis":
                place = f'connection_string: "{used.enter_context(server())}"'
            (folder / "feature_store.yaml").write_text(
                "project: bench\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
                f"offline_store: {{type: {self.offline}}}\nonline_store: {{type: {self.online}, {place}}}\n"
            )
            self.ask("apply", folder, source)
            yield folder


def rows() -> Iterator[Row]:
    """Training sets, loads, online reads; then what one waits for and installs."""
    yield from training_sets()
    yield from online()
    yield from beginnings()


def training_sets() -> Iterator[Row]:
    sides = {
        "gnomon": Side(library="gnomon"),
        "Feast": Side(library="feast"),
        "Feast on DuckDB": Side(library="feast", offline="duckdb"),
    }
    for title, asked, source in (
        ("1M rows × 10M-row view, 10 rows a key", spine("sparse"), sparse()),
        ("1M rows × 10M-row view, 100 rows a key", spine("wide"), history()),
        ("100k rows × 10M-row view, 100 rows a key", spine("deep"), history()),
        ("100k rows × 20M-row view, 200 rows a key", spine("deep"), deep()),
    ):
        with repos(sides, source) as folders:
            taken = in_turns(
                {name: partial(answered, side, folders[name], asked, source) for name, side in sides.items()}
            )
        for other in ("Feast", "Feast on DuckDB"):
            yield beside(title, taken, "gnomon", other, seconds_and_faults)


def answered(side: Side, folder: Path, asked: Path, source: Path) -> Figure:
    """A training set, and how many of its rows are lost or wrong."""
    answer = folder / "answer.parquet"
    figure = side.ask("training", folder, asked, answer)
    figure.more["lost"], figure.more["wrong"] = faults(asked, source, answer)
    return figure


def faults(asked: Path, source: Path, answer: Path) -> tuple[int, int]:
    """How many rows asked are not in an answer, and how many are there with other values; NaN may stand for null."""
    right = ", ".join(f"v.{name}" for name in FEATURES)
    given = ", ".join(f"case when not isnan({name}::double) then {name} end as {name}" for name in FEATURES)
    same = " and ".join(f"r.{name} is not distinct from a.{name}" for name in FEATURES)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'; set asof_loop_join_threshold = 0; set enable_progress_bar = false")
        (counted,) = con.sql(f"""
            with r as (
                select s.user_id, epoch_us(s.event_timestamp) as t, {right} from '{asked}' s
                asof left join '{source}' v on s.user_id = v.user_id and s.event_timestamp >= v.event_timestamp
            ), a as (select user_id, epoch_us(event_timestamp::timestamp) as t, true as there, {given} from '{answer}')
            select count(*) filter (there is null), count(*) filter (there and not ({same}))
            from r left join a using (user_id, t)
        """).fetchall()
    return counted


def online() -> Iterator[Row]:
    """Each store is loaded once; then all are read in turns."""
    kinds = ["sqlite", "redis"] if program() else ["sqlite"]
    sides = {"gnomon on LMDB": Side(library="gnomon", online="lmdb")}
    for kind in kinds:
        sides |= {f"gnomon on {kind}": Side(library="gnomon", online=kind)}
        sides |= {f"Feast on {kind}": Side(library="feast", online=kind)}
    with repos(sides, entities()) as folders:
        loads = in_turns({name: partial(side.ask, "materialize", folders[name]) for name, side in sides.items()}, 1)
        loaded = {name: side for name, side in sides.items() if not isinstance(loads[name], str)}
        reads = in_turns(
            {name: partial(side.ask, "reads", folders[name], PEOPLE, *SIZES) for name, side in loaded.items()}
        )
    pairs = [("gnomon on LMDB", "Feast on sqlite"), *((f"gnomon on {kind}", f"Feast on {kind}") for kind in kinds)]
    for ours, theirs in pairs:
        yield beside("load of 1M × 6", loads, ours, theirs, rows_a_second)
    for ours, theirs in pairs:
        for size in SIZES:
            yield read(size, {**loads, **reads}, ours, theirs)


def read(size: int, taken: Mapping[str, Taken], ours: str, theirs: str) -> Row:
    """p50 and p99 of a size; medians of the runs."""
    (mine, low), (other, other_low) = (latencies(taken[name], size) for name in (ours, theirs))
    return Row(
        figure=f"{size} of 1M entities × 6, p50 / p99",
        gnomon=f"{ours.removeprefix('gnomon ')}: {mine}",
        other=f"{theirs}: {other}",
        ratio=f"{low / other_low:.2g}" if low and other_low else "",
    )


def latencies(taken: Taken, size: int) -> tuple[str, float]:
    """As text, and p50 alone; 0 if there is none."""
    if isinstance(taken, str):
        return taken, 0.0
    low, high = (Median([Figure(run.more[str(size)][place]) for run in taken.runs]).wall for place in (0, 1))
    return f"{low:,.0f} / {high:,.0f} µs", low


def beginnings() -> Iterator[Row]:
    """Neither has extras here."""
    ours, theirs = startup.installed(), startup.environment(CACHE / "feast-bare", BARE_FEAST)
    for what, mine, other in (
        ("`import`", [ours, "-c", "import gnomon"], [theirs, "-c", "import feast"]),
        ("`--help`", [startup.command(ours, "gnomon"), "--help"], [startup.command(theirs, "feast"), "--help"]),
    ):
        taken = in_turns({"gnomon": partial(startup.run, mine), "Feast": partial(startup.run, other)}, 5)
        yield beside(what, taken, "gnomon", "Feast", lambda one: f"{one.wall:.2f} s")
    sizes = {name: startup.by_package(python) for name, python in (("gnomon", ours), ("Feast", theirs))}
    counts = {name: startup.distributions(python) for name, python in (("gnomon", ours), ("Feast", theirs))}
    said = {name: f"{sum(sizes[name].values()):,.0f} MiB, {counts[name]} packages" for name in sizes}
    yield Row(figure="installed, without extras", gnomon=said["gnomon"], other=f"Feast: {said['Feast']}")


def beside(figure: str, taken: Mapping[str, Taken], ours: str, theirs: str, says: Callable[[Median], str]) -> Row:
    """Two of what was taken beside each other; ratios where both finished."""
    mine, other = taken[ours], taken[theirs]
    both = not isinstance(mine, str) and not isinstance(other, str)
    told = {name: one if isinstance(one, str) else says(one) for name, one in ((ours, mine), (theirs, other))}
    own = ours.removeprefix("gnomon").strip()
    return Row(
        figure=figure,
        gnomon=f"{own}: {told[ours]}" if own else told[ours],
        other=f"{theirs}: {told[theirs]}",
        ratio=f"{mine.wall / other.wall:.2g}" if both else "",
        cpu=" / ".join("–" if isinstance(one, str) else f"{one.cpu:.2f}" for one in (mine, other)),
        cpu_ratio=f"{mine.cpu / other.cpu:.2g}" if both else "",
        peak=" / ".join("–" if isinstance(one, str) or not one.peak else f"{one.peak:,.0f}" for one in (mine, other)),
    )


def seconds_and_faults(taken: Median) -> str:
    lost, wrong = (max(run.more[kind] for run in taken.runs) for kind in ("lost", "wrong"))
    return f"{taken.wall:.2f} s, {lost:,} lost, {wrong:,} wrong"


def rows_a_second(taken: Median) -> str:
    return f"{taken.wall:.2f} s, {PEOPLE / taken.wall:,.0f} rows/s"


@contextmanager
def repos(sides: Mapping[str, Side], source: Path) -> Iterator[dict[str, Path]]:
    """A repo for each side, all at once."""
    with ExitStack() as used:
        yield {name: used.enter_context(side.repo(source)) for name, side in sides.items()}


def in_turns(asked: Mapping[str, Callable[[], Figure]], runs: int = RUNS) -> dict[str, Taken]:
    """A B A B …; what has taken long enough, or did not finish, is left out of later rounds."""
    figures: dict[str, list[Figure]] = {name: [] for name in asked}
    failed: dict[str, str] = {}
    for _ in range(runs):
        for name, run in asked.items():
            if name in failed or sum(figure.wall for figure in figures[name]) > ENOUGH:
                continue
            try:
                figures[name].append(run())
            except UnfinishedError as why:
                failed[name] = str(why)
    return {name: failed.get(name) or Median(taken) for name, taken in figures.items()}
