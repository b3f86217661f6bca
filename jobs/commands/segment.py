"""`nhd segment`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Any, Literal

from jobs.arguments import (
    CpusPerWorker,
    Flag,
    GpusPerWorker,
    ReadsPerNode,
    Workers,
    names,
    resources,
    usage,
)
from pipelines.io.urls import redact


@dataclass(frozen=True)
class Segment:
    """Segment images by class texts, without training; score the maps where there are masks."""

    data: str
    """Shards as for `extract`, whose samples may have a `.mask.png`; or a local folder of images
    with `name.png` or `name.mask.png` beside `name.jpg`."""
    out: str
    """Where results go: a local path or any fsspec URL. Running again resumes."""
    classes: str | None = None
    """What pixels can be: names with commas between them, a file with one per line, classes.json,
    or `scene-parts`, which is the default for the tiny model."""
    masks: str | None = None
    """A folder with the masks of --data, of the same names; images without one are left out."""
    ignore: int = 255
    """The number of pixels that do not count; masks number classes from 0."""
    methods: str = "product,neurons,heads,maskclip,self_self"
    """Which maps to compare."""
    top_pairs: str = "paper"
    """Pairs per class for product, neurons and heads, each in turn: `64,256,paper`; the paper's
    share is 13.6 %."""
    sink_repair: Literal["on", "off", "both"] = "on"
    """Whether the bottom-right token is replaced by its neighbours' mean."""
    unit_tokens: Literal["on", "off", "both"] = "off"
    """Whether product and neurons scale the neuron maps to unit length token by token."""
    short_side: int = 0
    """Resize the shorter side to this many pixels; 0 leaves images as they are."""
    stride: float = 0.5
    """From one window to the next, as a part of the window; finer is slower, and often better."""
    taper: Flag = False
    """Let windows weigh less towards their edges where they overlap."""
    scales: str = "1"
    """Look at each image at several sizes, as multiples: `1,1.5`; logits are averaged."""
    bare_texts: Flag = False
    """Embed class names bare, not averaged over open_clip's 80 templates."""
    model: str = "tiny"
    """`tiny`, which ships with nhd, or an open_clip ResNet: RN50, RN101, RN50x4, RN50x16, ..."""
    pretrained: str | None = None
    """open_clip's tag of the weights, such as `openai`; `none` for random weights."""
    checkpoint: str | None = None
    """A file with the weights: an open_clip state dict, safetensors or torch."""
    maps: Flag = False
    """Write the map of every image in the first setting, as a PNG of class numbers."""
    overlays: int = 8
    """How many pictures to draw."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the model runs."""
    workers: Workers = 0
    cpus_per_worker: CpusPerWorker = 0.0
    gpus_per_worker: GpusPerWorker = 0.0
    reads_per_node: ReadsPerNode = 0
    in_process: Flag = False
    """Run here, without Ray."""
    lease_timeout: float = 600.0
    """Seconds without any progress after which a worker is ended and its shards leased again."""

    def __call__(self) -> None:
        from pipelines.errors import UsageError
        from pipelines.model_spec import ModelSpec
        from pipelines.segment.job import segment as run
        from pipelines.segment.plan import SegmentPlan, settings_of
        from pipelines.segment.report import summary

        classes = self.classes or ("scene-parts" if self.model == "tiny" else None)
        if classes is None:
            raise UsageError("give --classes: what can a pixel be?")
        if self.overlays < 0:
            raise UsageError("--overlays must not be negative")
        plan = SegmentPlan(
            data=self.data,
            out=self.out,
            classes=classes,
            settings=settings_of(
                names(self.methods), names(self.top_pairs), self.sink_repair, self.unit_tokens
            ),
            masks=self.masks,
            view=self._view(),
            model=ModelSpec(self.model, self.pretrained, self.checkpoint),
            ignore=self.ignore,
            maps=self.maps,
            overlays=self.overlays,
            device=self.device,
            resources=resources(self),
            in_process=self.in_process,
            lease=self.lease_timeout,
        )
        found = run(plan)
        for line in summary(found):
            print(line)
        print(f"{redact(self.out.rstrip('/'))}/index.html")

    def _view(self) -> Any:
        from pipelines.segment.options import View

        scales = usage(_scales, self.scales)
        return View(self.short_side, self.stride, self.taper, scales, not self.bare_texts)


def _scales(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, names(text)))
    except ValueError:
        raise ValueError(f"--scales '{text}' are no numbers: give 1,1.5") from None
