"""The kernel: windowed features of many keys at many instants, over numpy arrays.

A window, with both clocks and corrections, gives each event an interval of instants in which it counts. Everything here
is a way to ask which events' intervals hold an instant, and what comes of their values.

| file | what it has |
|---|---|
| `windowed` | a whole question: batches of events in, columns of answers out |
| `parts`, `pieces` | the question cut by keys, and by time where one key is too large, so that memory is bounded |
| `part` | one part: versions settled, everything sorted, each aggregation answered |
| `versions` | until when a version of an event holds |
| `tracks` | (key, instant) in one sorted array of int64 |
| `entries` | which events are inside at each row: main ones by two searches, extras by an interval of rows each |
| `lanes` | of these, the ones a condition selects that have a value |
| `sweeps` | the table of sweeps: which function is computed by which of the files below |
| `summing`, `spread`, `limbs` | exact sums, means, variances from prefix sums |
| `extremes`, `ordered`, `pushdown` | min, max, first, last, lists: over stretches of events, or over a tree of rows |
| `distinct`, `grid` | counts of different values; what depends on how often each one occurs |
| `own` | users' own aggregations |
| `columns` | one column of values as the sweeps want it |
"""
