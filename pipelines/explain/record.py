"""An explanation as JSON: the numbers of the picture, and of every exemplar its map."""

from typing import Any

from pipelines.explain.rows import Row, Sheet
from pipelines.explain.views import Tile


def record(sheet: Sheet, rows: list[tuple[Row, list[Tile]]], run: str) -> dict[str, Any]:
    """All of a sheet; maps and mean_token add up to what the model gives for the image read."""
    missing = sum(tile.seen is None for _, found in rows for tile in found)
    return {
        "title": sheet.title,
        "run": run,
        "picture": f"{sheet.name}.png",
        **sheet.facts,
        "images_missing": missing,
        "rows": [
            {"title": row.title, **row.facts, "exemplars": [_exemplar(tile) for tile in found]}
            for row, found in rows
        ],
    }


def _exemplar(tile: Tile) -> dict[str, Any]:
    return {
        "shard": tile.exemplar.shard,
        "key": tile.exemplar.key,
        "coefficient": tile.exemplar.coefficient,
        "map": None if tile.seen is None else tile.seen.grid.tolist(),
        "mean_token": None if tile.seen is None else tile.seen.mean_token,
    }
