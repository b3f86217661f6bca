"""`nhd audit`: its arguments, and what it calls."""

from dataclasses import dataclass

from jobs.arguments import Flag


@dataclass(frozen=True)
class Audit:
    """A dataset against a baseline, by limits: one audit of a series that people schedule.

    Exit codes: 0 passed; 1 a limit was crossed; 2 wrong configuration; 3 incomplete, or nobody
    could be told: run the same command again; 4 another audit of the series runs.
    """

    config: str = "audit.yaml"
    """The configuration, a YAML file at a path or URL."""
    name: str | None = None
    """Name of this audit in the series, in place of the configuration's."""
    init: Flag = False
    """Write a commented example of a configuration to --config, and end."""
    dry_run: Flag = False
    """Print what would be done, with the time and storage it takes, and do nothing."""
    redo_changed: Flag = False
    """Extract committed shards anew whose size or version has changed since."""

    def __call__(self) -> None:
        from jobs.audit.example import write_example
        from jobs.audit.read import read_settings

        if self.init:
            write_example(self.config)
            print(f"{self.config} is an example: edit it, then run nhd audit --dry-run")
            return
        settings = read_settings(self.config, self.name)
        if self.dry_run:
            _preview(settings)
            return
        _audit(settings, self.redo_changed)


def _preview(settings: object) -> None:
    import yaml

    from pipelines.audit.job import configuration
    from pipelines.audit.plan import plan_of
    from pipelines.audit.preview import preview
    from pipelines.audit.settings import Settings
    from pipelines.environment import secrets

    assert isinstance(settings, Settings)
    understood = configuration(settings, secrets())
    print("the configuration, as understood:")
    text = yaml.safe_dump(understood, sort_keys=False, allow_unicode=True, width=100)
    print("".join(f"  {line}\n" for line in text.splitlines()))
    print("\n".join(preview(plan_of(settings))))


def _audit(settings: object, redo_changed: bool) -> None:
    from pipelines.audit.job import audit, exit_for
    from pipelines.audit.settings import Settings
    from pipelines.environment import secrets

    assert isinstance(settings, Settings)
    verdict, untold = audit(settings, secrets(), redo_changed)
    print(f"audit {verdict['number']}, {verdict['name']}: {verdict['state']}")
    if verdict["state"] == "passed":  # else it is how the command ends
        print(verdict["sentence"])
    print(f"page: {verdict['page']}")
    exit_for(verdict, untold)
