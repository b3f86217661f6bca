"""`nhd evidence`: its arguments, and what it calls."""

from dataclasses import dataclass

from jobs.arguments import names


@dataclass(frozen=True)
class Evidence:
    """What was measured beside what the paper says, claim by claim, on one page."""

    evaluation: str
    """The folder that `nhd evaluate` wrote."""
    cases: str
    """The folder that `nhd explain --search` wrote."""
    segmentation: str
    """The folder that `nhd segment` wrote; several with commas, whose last one is shown."""
    out: str = "evidence.md"
    """The page, in Markdown; its pictures go to a folder of the same name beside it."""
    command: str = ""
    """What the page says it was made by."""

    def __call__(self) -> None:
        from pipelines.evidence.page import EvidencePlan, evidence

        claims = evidence(
            EvidencePlan(
                self.evaluation, self.cases, names(self.segmentation), self.out, self.command
            )
        )
        for claim in claims:
            print(f"{claim.held:>8}  {claim.claim}: {claim.ours}")
        print(f"page: {self.out}")
