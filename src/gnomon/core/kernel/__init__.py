"""The window kernel: windowed features of many keys at many instants, by sorted arrays.

Turned round, a window gives each event an interval of instants in which it counts (`gnomon.core.windows`). So events
lie in order of time, and what is inside at an instant lies between two places; late and corrected events, which break
the order, are few and counted apart. From the events to the answer:

| file | what it does |
|---|---|
| `windowed` | a whole view: parts, their events, their rows |
| `parts` · `pieces` | events split by key, in memory or in files; large parts taken a stretch at a time |
| `part` | one part: versions settled, events and rows sorted, jobs answered |
| `versions` · `entries` · `tracks` · `orders` | until when a version holds; what is inside; searches |
| `lanes` | the events that one condition selects, with their values and the windows' spans |
| `sweeps` | which aggregation is swept by what: |
| `summing` · `spread` · `limbs` | count, sum, mean; variance, stddev; exact sums |
| `extremes` · `ordered` · `pushdown` | min, max; first, last and lists; the best of intervals over rows |
| `distinct` · `frequencies` · `grid` · `own` | distinct values; what hangs on frequencies; users' own aggregations |
"""
