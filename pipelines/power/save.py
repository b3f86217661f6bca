"""Write what was simulated to a file."""

from pipelines.errors import UsageError
from pipelines.io.files import atomic_write, write_json
from pipelines.power.simulate import Simulated
from pipelines.power.tables import report, values


def writable(url: str) -> None:
    """UsageError unless the name ends as a result's can."""
    if not url.endswith((".json", ".md")):
        raise UsageError(f"{url}: the result is written to a name that ends in .json or .md")


def save(result: Simulated, url: str) -> None:
    """As JSON or as Markdown, by the ending of the name."""
    writable(url)
    if url.endswith(".json"):
        write_json(url, values(result))
    else:
        atomic_write(url, ("\n".join(report(result)) + "\n").encode())
