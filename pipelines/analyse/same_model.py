"""The model that a run was made with, loaded again and held against what the run says of it."""

from dataclasses import replace
from typing import Any

from pipelines.errors import UsageError
from pipelines.io.store import Run
from pipelines.model_spec import How
from pipelines.models import LoadedModel, load_model

MUST_AGREE = {"weights_sha256": "model weights", "preprocess_id": "preprocessing"}
WAYS: tuple[How, ...] = ("fast", "exact")


def model_of(run: Run) -> LoadedModel:
    """On the CPU; UsageError if its weights are no longer those of the run."""
    info = run.info
    loaded = load_model(info["model"], info["pretrained"], info["checkpoint"])
    if loaded.weights_sha256 != info["weights_sha256"]:
        raise UsageError(
            f"the weights of {info['model']} are no longer those that {run.url} was made with"
        )
    return loaded


def preprocessing_of(run: Run, loaded: LoadedModel) -> How:
    """How the run's images were prepared; UsageError if that cannot be repeated."""
    for how in WAYS:
        if replace(loaded.pixels, how=how).id == run.info["preprocess_id"]:
            return how
    raise UsageError(
        f"the preprocessing of {run.info['model']} is no longer that of {run.url}: extract it again"
    )


def same_numbers(one: dict[str, Any], other: dict[str, Any]) -> None:
    """UsageError where two runs, by their run.json, were not made with the same model."""
    for field, noun in MUST_AGREE.items():
        if one.get(field) != other.get(field):
            raise UsageError(
                f"the runs have different {noun} ({str(one.get(field))[:12]} and "
                f"{str(other.get(field))[:12]}), so their numbers mean different things; "
                "extract both with the same model"
            )
