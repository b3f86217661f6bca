"""The lens that an extraction was asked to score through, and what must agree with it."""

from dataclasses import replace

from pipelines.errors import UsageError
from pipelines.extract.plan import Plan
from pipelines.io.listing import absolute
from pipelines.io.urls import redact
from pipelines.lens.lens import Lens, LensAt, read_lens


def chosen_lens(plan: Plan) -> tuple[Plan, LensAt | None]:
    """The plan with the lens's concepts in place of its own, and which lens; as it is without one.

    Raises UsageError where there is no lens at that place, or where the plan has concepts too.
    """
    if plan.lens is None:
        return plan, None
    if plan.concepts:
        raise UsageError(
            "--lens brings its own concepts, so --concepts cannot be given beside it; leave it "
            "out, or calibrate a lens with these concepts"
        )
    url = absolute(plan.lens)
    lens = read_lens(url)
    k = lens.pairs.shape[1]
    if plan.pairs_per_concept not in (Plan.pairs_per_concept, k):
        raise UsageError(
            f"the lens {redact(url)} has {k} pairs per concept, but --pairs-per-concept is "
            f"{plan.pairs_per_concept}; leave it out"
        )
    return replace(plan, lens=url, concepts=lens.texts, pairs_per_concept=k), LensAt(url, lens.id)


def must_fit(lens: Lens, weights_sha256: str, preprocess_id: str) -> None:
    """UsageError where a lens was calibrated with another model, or on other pixels."""
    about = lens.info
    made = " ".join(filter(None, (about["model"], about.get("pretrained"))))
    if about["weights_sha256"] != weights_sha256:
        raise UsageError(
            f"the lens is of other weights ({made}, {about['weights_sha256'][:12]}) than this "
            f"model's ({weights_sha256[:12]}), so its scores would mean nothing; extract with the "
            "model of the lens, or calibrate a lens with this one"
        )
    if about["preprocess_id"] != preprocess_id:
        raise UsageError(
            f"the lens was calibrated on images of another preprocessing "
            f"({about['preprocess_id']}) than this run's ({preprocess_id}); change --preprocess, "
            "or calibrate a lens with this one"
        )
