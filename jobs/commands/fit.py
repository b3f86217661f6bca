"""`nhd fit`: its arguments, and what it calls."""

from dataclasses import dataclass
from typing import Literal

from jobs.arguments import Flag
from jobs.terminal import terminal_width


@dataclass(frozen=True)
class Fit:
    """Moments to meaning: directions, components, sparse codes in words, exemplars."""

    run: str
    """The run folder."""
    words: str | None = None
    """The dictionary: `scenes`, `common:30000` (needs wordfreq), or a file with one word per line.
    By default `scenes` for the tiny model and `common:10000` for others."""
    atoms: int | None = None
    """Words per code; 0 for no codes, which on a large model take most of the time. By default 64,
    at most an eighth of the embedding's width."""
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
        from pipelines.terminal.meanings import fit_lines

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
        print("\n".join(fit_lines(self.run, summary, terminal_width())))
        print(f"\ntables: {self.run.rstrip('/')}/fit")
