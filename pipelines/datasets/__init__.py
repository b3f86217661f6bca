"""Published datasets in the layouts in which they are published, and how they become shards."""
