"""Streams, stages, storage and Ray: everything between the mathematics and the command line."""
