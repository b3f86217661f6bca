"""The model that a run was made with, loaded again and held against what the run says of it."""

from dataclasses import replace

from pipelines.errors import UsageError
from pipelines.io.store import Run
from pipelines.model_spec import How
from pipelines.models import LoadedModel, load_model

WAYS: tuple[How, ...] = ("fast", "exact")


def model_of(run: Run, device: str = "cpu") -> LoadedModel:
    """With the run's own preprocessing.

    Raises UsageError if weights or preprocessing are no longer those of the run.
    """
    info = run.info
    loaded = load_model(info["model"], info["pretrained"], info["checkpoint"], device)
    if loaded.weights_sha256 != info["weights_sha256"]:
        raise UsageError(
            f"the weights of {info['model']} are no longer those that {run.url} was made with"
        )
    for how in WAYS:
        found = replace(loaded, pixels=replace(loaded.pixels, how=how))
        if found.preprocess_id == info["preprocess_id"]:
            return found
    raise UsageError(
        f"the preprocessing of {info['model']} is no longer that of {run.url}, "
        f"{info['preprocess_id']}: extract the run again"
    )
