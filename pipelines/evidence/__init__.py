"""What was measured, beside what the paper says: `nhd evidence`."""
