"""The few ways a job can end badly; each carries one sentence for the user and an exit code."""


class JobError(Exception):
    """Something the user can act on; `exit_code` is what the process returns."""

    exit_code = 1


class Crossed(JobError):
    """All is done, but what was found is not as the user asked it to be."""


class UsageError(JobError):
    """Wrong usage, configuration or input: nothing was done."""

    exit_code = 2


class Incomplete(JobError):
    """Some shards failed; the rest is committed and the same command resumes."""

    exit_code = 3


class Unwritable(Incomplete):
    """The output took no more: full, read-only, or out of reach."""


class Locked(JobError):
    """Another run is working in the folder."""

    exit_code = 4


class ShardError(Exception):
    """One shard cannot be read or processed; the others can."""
