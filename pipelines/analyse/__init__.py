"""What a run means and how two runs differ: fit and compare."""
