"""`nhd prepare`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal

import tyro

from jobs.arguments import Flag

Name = Literal["imagenet", "context59", "cars", "ade20k", "coco_stuff"]


@dataclass(frozen=True)
class Prepare:
    """A published dataset, as it is downloaded, to shards with labels and masks."""

    dataset: tyro.conf.Positional[Name]
    """Which: `imagenet` (validation), `context59` (PASCAL Context), `cars` (Stanford Cars with
    colour labels), `ade20k`, `coco_stuff`."""
    source: str
    """The local folder that the download was unpacked in."""
    out: str
    """Where shards, classes.json and dataset.json go: a path or any fsspec URL."""
    split: Literal["train", "val", "test"] | None = None
    """By default the one that the paper takes: `train` of cars, `val` of the others."""
    colours: str | None = None
    """For cars: refined_train.csv of morrisfl/stanford_cars_refined, if it is not found in the
    source; or `none`."""
    limit: int = 0
    """Take only so many images, spread evenly over the dataset; 0 for all."""
    per_shard: int = 1000
    """Images per shard, at most."""
    shard_mb: int = 256
    """Megabytes (2^20) of images per shard, at most."""
    in_process: Flag = False
    """Run here, without Ray."""

    def __call__(self) -> None:
        from pipelines.datasets.dataset import Options
        from pipelines.datasets.prepare import PreparePlan, prepare

        plan = PreparePlan(
            dataset=self.dataset,
            source=self.source,
            out=self.out,
            options=Options(self.split, self.colours),
            limit=self.limit,
            per_shard=self.per_shard,
            shard_bytes=self.shard_mb * 2**20,
            in_process=self.in_process,
        )
        done = prepare(plan)
        left = f", {len(done['left_out'])} left out" if done["left_out"] else ""
        print(
            f"{done['images']} of the {done['images_published']} published images of "
            f"{done['title']} ({done['split']}){left}: {self.out}"
        )
