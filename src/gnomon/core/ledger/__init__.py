"""The ledger: one entity's events, kept so that any window over them is read in microseconds, exact at both ends.

A young entity is its *head*: what was applied, and the newest records. When the head grows long, its oldest records are
sealed into a *chunk*, of which the *summary* has a row. A window is then a stretch of the head, at most two chunks read
in part, and rows of the summary between. What the values mean is said in `gnomon.core.aggregations`, as for every path.

| file | has |
|---|---|
| `shape` | what a record holds |
| `records` | records in order, as bytes that are read in place |
| `summary` | the rows about chunks |
| `heads` | the head |
| `parts` | the keys of all these |
| `incoming` | events from Arrow columns |
| `applying` | events into a ledger; a ledger from all events |
| `reading` | values out of a ledger; by `stretches` and `answers` |
"""
