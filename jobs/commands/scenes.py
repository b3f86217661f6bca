"""`nhd scenes`: its arguments, and what it calls."""

from dataclasses import dataclass

from jobs.arguments import usage


@dataclass(frozen=True)
class Scenes:
    """Generate captioned scenes with known truth, as WebDataset shards."""

    out: str
    """The folder to write to."""
    count: int
    """How many scenes."""
    seed: int = 0
    """Scene i of a seed is always the same."""
    boost: str = ""
    """Make attributes more frequent: `yellow=3,car=2` multiplies their sampling weights."""
    per_shard: int = 500
    """Scenes per shard."""
    size: int = 128
    """Width and height in pixels."""
    objects: int | None = None
    """Objects per scene, 1 to 8; one or two by default."""

    def __call__(self) -> None:
        from pipelines.tiny.dataset import write_scenes
        from pipelines.tiny.scenes import parse_boost

        boost = usage(parse_boost, self.boost)
        urls = write_scenes(
            self.out,
            self.count,
            self.seed,
            boost,
            self.per_shard,
            self.size,
            self.objects,
        )
        print(f"{self.count} scenes in {len(urls)} shards: {self.out}")
