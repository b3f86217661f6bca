"""Tables made for questions: a run in few large files, its firings by pair, DuckDB over both."""
