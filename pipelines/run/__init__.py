"""Running work: leases, pools, the cluster, the lock, progress and status."""
