"""Pure functions on recorded runs: the tree of a trace, the totals of a run. One algorithm each, for every view."""
