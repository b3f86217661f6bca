"""Lenses: fitted once on a reference sample, so that scores stay comparable between runs."""
