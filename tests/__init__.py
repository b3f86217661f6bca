"""Tests of all layers; run with infra/test.sh."""
