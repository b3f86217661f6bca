"""Samples that cannot be used, and the closed list of reasons why."""

from dataclasses import dataclass

REASONS = {
    "no_image": ("read", "no member of the sample has an image's extension"),
    "not_a_file": ("read", "a member is a link, a device, a pipe or a sparse file"),
    "duplicate_key": ("read", "the key has occurred before in this shard"),
    "duplicate_member": ("read", "the sample has two members of one extension"),
    "too_large": ("read", "the sample has more than 256 MiB"),
    "invalid_json": ("read", "the .json member is no UTF-8 text of one JSON object"),
    "empty_image": ("decode", "the image file has no bytes"),
    "unsupported_format": ("decode", "no JPEG, PNG, WebP, GIF, BMP or TIFF image"),
    "undecodable_image": ("decode", "the image file is damaged or cut off"),
    "too_many_pixels": ("decode", "more than 178,956,970 pixels, Pillow's limit"),
    "missing_label": ("label", "a field asked for with --labels is missing or null"),
    "label_not_boolean": ("label", "a field asked for with --labels is not true, false, 0 or 1"),
    "not_finite": ("forward", "the model's output is infinite or not a number"),
}
"""Reason → (stage, what it means). Nothing else is ever the reason of an extraction's reject."""

SEGMENT_REASONS = {
    "two_masks": ("read", "the sample has several .png members and none is its mask.png"),
    "undecodable_mask": ("decode", "the mask is no whole PNG with one number per pixel"),
    "mask_size": ("decode", "the mask is not as large as its image"),
    "too_long": ("forward", "the image's longer side, resized, has more than 32,768 pixels"),
}
"""The same for what only segmentation reads or refuses."""

_ALL = REASONS | SEGMENT_REASONS

LONGEST = 200  # characters of a reject's detail


@dataclass(frozen=True)
class Reject:
    """A sample that cannot be used: its key, a listed reason, and what exactly was seen."""

    key: str
    reason: str
    detail: str

    def __post_init__(self) -> None:
        """Raises KeyError for a reason that is not listed."""
        _ = _ALL[self.reason]
        object.__setattr__(self, "detail", self.detail[:LONGEST])

    @property
    def stage(self) -> str:
        """read, decode, label or forward."""
        return _ALL[self.reason][0]
