"""Data at rest and on its way: shards, images, rows, the run folder."""
