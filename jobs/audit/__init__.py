"""The configuration file of an audit: read, checked, and written as an example."""
