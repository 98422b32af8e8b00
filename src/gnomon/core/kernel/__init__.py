"""The kernel of windowed views: events and questions as sorted arrays, and a sweep per family of aggregations.

| file | what it does |
|---|---|
| `windowed` | a view's answers to a whole spine, from a stream of events |
| `parts`, `pieces` | a question cut until it fits into memory |
| `part`, `versions` | one part: which events are visible, and which version of each |
| `tracks`, `entries`, `lanes` | which events are inside at each row; and of these, the ones a condition selects |
| `sweeps` | which sweep makes which aggregation |
| `summing`, `spread`, `limbs` | count, sum, mean; variance and stddev; exact sums |
| `extremes`, `ordered` | min and max; first, last and their lists |
| `distinct`, `grid` | distinct counts; what depends on how often a value occurs |
| `own` | a user's own aggregation |
| `columns`, `pushdown` | values as int64; intervals of rows to rows |
"""
