"""`nhd fit`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal

from jobs.arguments import Flag


@dataclass(frozen=True)
class Fit:
    """Moments to meaning: directions, components, sparse codes in words, exemplars."""

    run: str
    """The run folder."""
    words: str | None = None
    """The dictionary: `scenes`, `common:30000` (needs wordfreq), or a file with one word per line.
    By default `scenes` for the tiny model and `common:10000` for others."""
    atoms: int = 64
    """Words per code; 0 for no codes, which on a large model take most of the time."""
    templates: Flag = False
    """Embed words in open_clip's 80 templates rather than bare."""
    normalise: Literal["atom", "reference"] = "atom"
    """`reference` scales the dictionary as the paper's published code does: by coordinates."""
    fit_on: Literal["all", "top50"] = "all"
    """Which images the components of neurons and heads are fitted on."""
    in_process: Flag = False
    """Run here, without Ray."""

    def __call__(self) -> None:
        from pipelines.analyse.fit import FitPlan
        from pipelines.analyse.fit import fit as run

        plan = FitPlan(
            run=self.run,
            words=self.words,
            atoms=self.atoms,
            templates=self.templates,
            normalise=self.normalise,
            fit_on=self.fit_on,
            in_process=self.in_process,
        )
        summary = run(plan)
        print(
            f"{summary['pairs']} pairs fitted on {summary['images']} images, in "
            f"{summary['dictionary']} words: {self.run.rstrip('/')}/fit"
        )
