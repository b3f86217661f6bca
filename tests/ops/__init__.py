"""Laws of nhd_ops: each test states one of nhd_ops/README.md."""
