"""Commands of nhd as jobs of a Ray cluster's Jobs server."""
