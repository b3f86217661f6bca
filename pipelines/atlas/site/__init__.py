"""The static site of an atlas, made from the values of `pipelines.atlas.model` alone."""

from pipelines.atlas.site.write import write_site

__all__ = ["write_site"]
