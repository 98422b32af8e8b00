"""Materialize: bring the online store up to an instant, from the sources.

A load of a row view of files looks for every row that *happened or became known* since the last one, and reads files
that are new or were rewritten since then whole, so a late row is found whatever its times say. Merging a row is
idempotent and never goes back in (event time, known time, columns), so a load that was killed is simply run again.

Windowed views, and views of pushed events, are laid out whole, up to where the log is, and go on with the log from
there (`gnomon.flows.feeds`). They are laid out anew only when files or the definition changed, or rows were left out
for later; else a load just brings them up to the log's end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gnomon.clock import Clock, instant_text
from gnomon.contracts.engine import Engine, SourceFile
from gnomon.contracts.log import KNOWN, Log, Logs
from gnomon.contracts.online import OnlineStore
from gnomon.contracts.registry import Registry, Run, Snapshot
from gnomon.core.marks import Mark
from gnomon.core.staircases import merging
from gnomon.definitions.codec import stored_fingerprint
from gnomon.definitions.sources import PushSource, file_sources
from gnomon.definitions.views import FeatureView
from gnomon.errors import BackendError, RequestError, listing
from gnomon.flows.feed import Feeder
from gnomon.flows.feeds import Bounds, Feed, feed_of
from gnomon.flows.progress import Progress, Quiet
from gnomon.flows.tables import entries_of, layout_of, remember_layout, table_of
from gnomon.plan.questions import LoadQuestion

__all__ = ["Progress", "Quiet", "Report", "ViewReport", "materialize", "materialize_incremental"]

MOST_FILES_REMEMBERED = 10_000

Stamps = tuple[tuple[str, int, int], ...]
"""(path, size, modification time) of files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewReport:
    """What a load did for one view.

    Args:
        view: `name@version`.
        mode: `incremental`, `full` (everything up to the end), `range` or `replace`.
        start: rows that happened or became known before this were not looked for (µs); None for no limit.
        end: rows that happened after this were not loaded (µs).
        rows: rows that came from the source.
        changed: values that changed in the store.
        seconds: how long it took by the clock.
        notes: what the operator should know.
    """

    view: str
    mode: str
    start: int | None
    end: int
    rows: int
    changed: int
    seconds: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        since = "the beginning" if self.start is None else instant_text(self.start)
        line = f"{self.view}: {self.rows} rows from {since} to {instant_text(self.end)} ({self.mode})"
        return "\n  ".join([line, *(f"note: {note}" for note in self.notes)])


@dataclass(frozen=True, slots=True)
class Report:
    """What a load did, view by view.

    Args:
        views: one report per view, in the order they were loaded.
    """

    views: tuple[ViewReport, ...]

    def __str__(self) -> str:
        return "\n".join([*map(str, self.views)] or ["Nothing to load: no view has online=True."])

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {"views": [asdict(one) for one in self.views]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One view's load, decided on but not yet run.

    Args:
        view: the view.
        mode: `incremental`, `full`, `range` or `replace`.
        start: rows that happened or became known before this are not looked for (µs); None for no limit.
        questions: what the engine is asked, one after the other.
        run: what the registry will remember, but for rows and the instant it finished.
        notes: what the operator should know.
    """

    view: FeatureView
    mode: str
    start: int | None
    questions: tuple[LoadQuestion, ...]
    run: Run
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """The parts a load works with.

    Args:
        snapshot: the definitions.
        registry: remembers what was loaded.
        engine: reads the sources.
        store: is loaded.
        logs: what was pushed.
        clock: says what time it is.
        progress: is told how it gets on.
    """

    snapshot: Snapshot
    registry: Registry
    engine: Engine
    store: OnlineStore
    logs: Logs
    clock: Clock
    progress: Progress

    def run(self, load: Load) -> ViewReport:
        """Carry a load out, and remember it once all of it is in."""
        view, began = load.view, self.clock.now()
        table, layout = table_of(self.snapshot.project, view), layout_of(view)
        remember_layout(self.store, table, layout)
        rows = changed = 0
        self.progress.begin(view.id, None)

        def batches() -> Iterator[list[tuple[bytes, bytes]]]:
            nonlocal rows
            for question in load.questions:
                for batch in self.engine.load(question):
                    yield entries_of(view, layout, batch)
                    rows += len(batch)
                    self.progress.advance(len(batch))

        merge = merging(layout, load.run.started)
        try:
            if load.mode == "replace":
                changed = self.store.replace(table, batches(), merge)
            else:
                changed = sum(self.store.write(table, batch, merge) for batch in batches())
        finally:
            self.progress.end()
        finished = self.clock.now()
        self.registry.record(self.snapshot.project, replace(load.run, rows=rows, finished=finished))
        return ViewReport(
            view=view.id,
            mode=load.mode,
            start=load.start,
            end=load.questions[0].end if load.questions else load.run.end,
            rows=rows,
            changed=changed,
            seconds=(finished - began) / 1e6,
            notes=load.notes,
        )

    def over_range(self, view: FeatureView, start: int | None, end: int, *, anew: bool) -> Load:
        """A load of what happened or became known from `start` on; `anew`, in place of all that is there."""
        runs = [] if anew else self.registry.runs(self.snapshot.project, view.id)
        covered = _covered(runs, stored_fingerprint(view))
        complete = start is None or (covered is not None and start <= covered and self._is_there(view))
        # Of files that landed since the last load a range reads only a part: they stay new.
        files = _stamps(self._files(view)) if start is None else runs[0].files if runs else ()
        notes: tuple[str, ...] = ()
        if runs and runs[0].fingerprint != stored_fingerprint(view):
            notes = (
                "the view's definition changed since its last load: an incremental load, or --replace, redoes it.",
            )
        run = self._run(view, None if complete else start, max(end, covered or end) if complete else end, files, anew)
        questions = (self._question(view, None if start is None else start - 1, end),)
        mode = "replace" if anew else "range"
        return Load(view=view, mode=mode, start=start, questions=questions, run=run, notes=notes)

    def since_last(self, view: FeatureView, end: int) -> Load:
        """A load of what happened or became known since the last one, and of files that are new or changed since."""
        runs = self.registry.runs(self.snapshot.project, view.id)
        covered = _covered(runs, stored_fingerprint(view))
        files = self._files(view)
        if covered is None or not self._is_there(view):
            return self._whole(view, end, files, changed=bool(runs) and runs[0].fingerprint != stored_fingerprint(view))
        unread, notes = _unread(files, runs[0])
        questions = [] if len(unread) == len(files) else [self._question(view, covered, end)]
        if unread:
            questions.append(self._question(view, None, end, tuple(file.path for file in unread)))
        run = self._run(view, None, max(end, covered), _stamps(files), replaced=False)
        return Load(view=view, mode="incremental", start=covered, questions=tuple(questions), run=run, notes=notes)

    def lay_out(self, view: FeatureView, end: int, *, anew: bool) -> ViewReport:
        """A view that is laid out whole: anew if asked, or if it has to be; else brought up to its log's end.

        Args:
            view: the view.
            end: rows of files that happened after it are left for later, µs.
            anew: whether to lay it out anew, whatever is there.
        """
        began = self.clock.now()
        log = self.logs.log(view.source.name) if isinstance(view.source, PushSource) else None
        feed = feed_of(self.snapshot.project, view, self.engine, self.store, log.prefix if log else None)
        found, mark = self._files(view), feed.mark()
        files = _stamps(found)
        reason = _why_anew(feed, mark, self._last_run(view), files, anew)
        if not reason and mark is not None:
            reason = _what_is_lost(mark, log, len(found) > len(files))
        if not reason and mark and log and feed.passed_by(mark, _first_stamp(log, mark.position)):
            reason = "the clock was behind that of the last load: all of it is loaded anew."
        if reason:
            bounds = _bounds(log, end, began)
            self.progress.begin(view.id, None)
            try:
                rows, changed = feed.load(bounds, self.progress.advance)
            finally:
                self.progress.end()
            mode, notes = "full" if mark is None or not anew else "replace", (reason,) if mark and not anew else ()
            run = replace(self._run(view, None, end, files, replaced=True), rows=rows, finished=self.clock.now())
            self.registry.record(self.snapshot.project, run)
        else:
            assert mark is not None
            rows, mode, notes, changed = 0, "incremental", (), 0
        if log is not None:
            feeder = Feeder(self.snapshot, self.engine, self.logs, self.store, self.clock)
            (fed,) = feeder.feed(view.source.name, view.id)
            if fed.behind:
                raise BackendError(f"view {view.id!r} cannot be brought up to its log's end.", instead=fed.behind)
            if mode == "incremental" and mark:
                rows = changed = (fed.position or 0) - mark.position
        return ViewReport(
            view=view.id,
            mode=mode,
            start=mark.known if mark and mode == "incremental" else None,
            end=end,
            rows=rows,
            changed=changed,
            seconds=(self.clock.now() - began) / 1e6,
            notes=notes,
        )

    def _last_run(self, view: FeatureView) -> Run | None:
        runs = self.registry.runs(self.snapshot.project, view.id)
        return runs[0] if runs else None

    def _files(self, view: FeatureView) -> tuple[SourceFile, ...]:
        """The files of a view's source."""
        return tuple(file for one in file_sources(view.source) for file in self.engine.files(one))

    def _is_there(self, view: FeatureView) -> bool:
        """Whether the store has anything of the view: it may be another one than the registry remembers, or new."""
        return table_of(self.snapshot.project, view) in self.store.tables(self.snapshot.project)

    def _whole(self, view: FeatureView, end: int, files: Sequence[SourceFile], *, changed: bool) -> Load:
        """A load of everything up to an instant, in place of what an older definition loaded if it `changed`."""
        run = self._run(view, None, end, _stamps(files), replaced=changed)
        notes = ("the view's definition changed: all of it is loaded anew.",) if changed else ()
        mode, questions = "replace" if changed else "full", (self._question(view, None, end),)
        return Load(view=view, mode=mode, start=None, questions=questions, run=run, notes=notes)

    def _question(
        self, view: FeatureView, start: int | None, end: int, files: tuple[str, ...] | None = None
    ) -> LoadQuestion:
        now = self.clock.now()
        return LoadQuestion(view=view, start=start, end=end, known=max(end, now), now=now, files=files)

    def _run(self, view: FeatureView, start: int | None, end: int, files: Stamps, replaced: bool) -> Run:
        now = self.clock.now()
        return Run(
            view=view.id,
            fingerprint=stored_fingerprint(view),
            start=start,
            end=end,
            started=now,
            finished=now,
            rows=0,
            replaced=replaced,
            files=files,
        )


def materialize(
    loader: Loader, start: int | None, end: int, views: Sequence[str] | None = None, *, anew: bool = False
) -> Report:
    """Load what happened or became known between two instants.

    Args:
        loader: the parts to work with.
        start: the first instant, µs; None for the beginning.
        end: rows that happened after it are left for later, µs.
        views: names of the views; all that are online by default.
        anew: put the load in place of all that is there.

    Raises:
        RequestError: the instants are the wrong way round, or a view is not online.
        NotRegistered: a view is unknown.
    """
    if start is not None and start > end:
        raise RequestError(f"the start {instant_text(start)} is after the end {instant_text(end)}.", hint="swap them.")
    chosen = _chosen(loader.snapshot, views)
    with loader.engine.together():
        reports = tuple(_over_range(loader, view, start, end, anew=anew) for view in chosen)
    return Report(reports)


def materialize_incremental(loader: Loader, end: int, views: Sequence[str] | None = None) -> Report:
    """Load what happened or became known since each view's last load, up to `end`.

    Args:
        loader: the parts to work with.
        end: rows that happened after it are left for later, µs.
        views: names of the views; all that are online by default.

    Raises:
        RequestError: a view is not online.
        NotRegistered: a view is unknown.
    """
    chosen = _chosen(loader.snapshot, views)
    with loader.engine.together():
        reports = tuple(_since_last(loader, view, end) for view in chosen)
    return Report(reports)


def _over_range(loader: Loader, view: FeatureView, start: int | None, end: int, *, anew: bool) -> ViewReport:
    if _is_fed(view):
        return loader.lay_out(view, end, anew=anew or start is None)
    return loader.run(loader.over_range(view, start, end, anew=anew))


def _since_last(loader: Loader, view: FeatureView, end: int) -> ViewReport:
    return loader.lay_out(view, end, anew=False) if _is_fed(view) else loader.run(loader.since_last(view, end))


def _chosen(snapshot: Snapshot, names: Sequence[str] | None) -> list[FeatureView]:
    if isinstance(names, str):
        names = [names]
    if not snapshot.catalog.views:
        raise RequestError(
            f"no feature view is registered in project {snapshot.project!r}.",
            hint="go to the repo's folder (gnomon -c FOLDER …), or run `gnomon apply` first.",
        )
    if names is not None and not names:
        raise RequestError("feature_views is empty.", hint="name the views, or leave it out to load all of them.")
    if names is None:
        return [view for _, view in sorted(snapshot.catalog.views.items()) if view.online]
    views = list(dict.fromkeys(snapshot.catalog.view(name) for name in names))
    offline = [view.id for view in views if not view.online]
    if offline:
        raise RequestError(
            f"not online: {listing(offline)}.", hint="set online=True on the view and apply, or leave it out."
        )
    return views


def _is_fed(view: FeatureView) -> bool:
    """Whether it is laid out whole, and fed from a log if there is one."""
    return bool(view.aggregations) or isinstance(view.source, PushSource)


def _what_is_lost(mark: Mark, log: Log | None, forgotten: bool) -> str:
    """Why a table cannot be gone on with; empty where it can."""
    if log is not None and mark.position > log.position():
        return "the log ends before what is online: all of it is loaded anew."
    return "the source has too many files to remember: all of it is loaded anew." if forgotten else ""


def _why_anew(feed: Feed, mark: Mark | None, last: Run | None, files: Stamps, anew: bool) -> str:
    """Why a table has to be laid out anew, as a note; empty where it has not."""
    if anew or mark is None:
        return "it is loaded for the first time."
    if mark.fingerprint != feed.fingerprint:
        return "the view's definition changed: all of it is loaded anew."
    if (last.files if last else ()) != files:
        return "files changed since the last load: all of it is loaded anew."
    if mark.latest is not None and any(bound is not None and bound < mark.latest for bound in (mark.end, mark.known)):
        return "rows were left for later by the last load: all of it is loaded anew."
    return ""


def _first_stamp(log: Log, position: int) -> int | None:
    """The known time of the first event after a position; None where there is none."""
    for batch in log.read(since=position, until=position + 1):
        if len(batch):
            return int(batch[KNOWN][0].value)
    return None


def _bounds(log: Log | None, end: int, now: int) -> Bounds:
    """What a load takes of history, as it is now."""
    prefix = log.prefix() if log else None
    stamped = None
    if log and prefix and prefix.position:
        for batch in log.read(since=prefix.position - 1, until=prefix.position):
            stamped = batch[KNOWN][-1].value
    return Bounds(prefix=prefix, end=end, known=now, stamped=stamped)


def _covered(runs: Sequence[Run], current: str) -> int | None:
    """Up to which instant everything is in the store; `runs` are newest first.

    No further than the instant a run asked at: of later rows the source may not have had any then.
    """
    covered = None
    for run in runs:
        if run.fingerprint != current:
            break
        if run.start is None:
            reached = min(run.end, run.started)
            covered = reached if covered is None else max(covered, reached)
        if run.replaced:
            break
    return covered


def _stamps(files: Sequence[SourceFile]) -> Stamps:
    """What is remembered of the files read; nothing where they are too many."""
    return tuple((one.path, one.size, one.modified) for one in files) if len(files) <= MOST_FILES_REMEMBERED else ()


def _unread(files: Sequence[SourceFile], last: Run) -> tuple[list[SourceFile], tuple[str, ...]]:
    """The files that may hold rows of any age not read yet: new ones and changed ones; all where none is remembered."""
    before = {path: (size, modified) for path, size, modified in last.files}
    if not before:
        return list(files), ("the source has too many files to remember: all of them are read.",)
    unread = [file for file in files if before.get(file.path) != (file.size, file.modified)]
    changed = [file.path for file in unread if file.path in before]
    if not changed:
        return unread, ()
    note = (
        f"source changed: {listing(changed, limit=3)} was rewritten since the last load and is read whole; "
        "if rows that were there before differ now or are gone, reload with --replace."
    )
    return unread, (note,)
