"""The elastic proof, step by step; called by infra/elastic.sh inside namespaces of its own.

An audit is submitted to a Ray cluster through its Jobs server. While it works on the week's images
a node is added, the store is cut off for ten seconds, and a node that is at work loses power. It
must end with the exit code, rows, rejects, moments and verdict of the same audit in one process.
"""

import argparse
import shutil
import signal
import sys
from pathlib import Path

from infra.elastic import data
from infra.elastic.equal import Compared, compare, unlike_verdicts
from infra.elastic.proof import LEASED, LIMIT, Proof
from infra.elastic.submission import Submission
from infra.elastic.watch import Watch


def main() -> None:
    """Do it, print the account, and end with 1 if anything is not as it should be."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    given = arguments()
    folder = Path(given.folder).absolute()
    if (folder / "machines").exists():
        sys.exit(f"{folder} holds an earlier proof; delete it, or name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    proof = Proof(folder, data.Sizes(given.reference, given.week))
    try:
        proof.prepare()
        alone = proof.alone()
        job = proof.submit()
        watch = proof.disturb(job)
        codes = job.wait(LIMIT), alone.wait(LIMIT)
        proof.say(f"the audit has ended with exit code {codes[0]}")
        wrong = judge(proof, job, watch, codes)
        proof.say("compared")
    finally:
        proof.cluster.close()
        shutil.rmtree(proof.cluster.local, ignore_errors=True)
    print("\n".join(wrong) if wrong else "Everything is as in one process.")
    sys.exit(1 if wrong else 0)


def judge(proof: Proof, job: Submission, watch: Watch, codes: tuple[int, int]) -> list[str]:
    """Print the comparison; return a sentence for each thing that is not as it should be."""
    wrong = [] if codes[0] == codes[1] else [f"exit code {codes[0]}, not {codes[1]}"]
    if codes != (0, 0):
        return [*wrong, f"an audit did not pass; see {job.log} and {proof.folder}/alone/audit.log"]
    nodes = watch.by_node()
    print("samples of the week by node: " + ", ".join(f"{n} {c}" for n, c in nodes.items()))
    for name in ("node1", "node2", "node3"):
        if not nodes.get(name):
            wrong.append(f"{name} did nothing of the week")
    if not job.says(LEASED):
        wrong.append("nothing that node1 worked on was leased again")
    alone = f"{proof.folder}/alone/audits"
    found = compare(proof.series, alone)
    print("\n".join(table(found)))
    return [
        *wrong,
        *(p for one in found for p in one.problems),
        *unlike_verdicts(proof.series, alone),
    ]


def table(found: list[Compared]) -> list[str]:
    """The comparison, a line for each run folder: what the cluster has, and what one process."""
    lines = ["of the cluster, of one process:"]
    lines.append(f"{'':10}{'rows':>16}{'rejects':>12}{'coefficients':>15}{'moments':>11}")
    for one in found:
        rows, rejects = f"{one.rows[0]}, {one.rows[1]}", f"{one.rejects[0]}, {one.rejects[1]}"
        apart = one.difference
        lines.append(
            f"{one.name:10}{rows:>16}{rejects:>12}{apart.coefficients_different:>7} differ"
            f"{apart.moments:>11.0e}"
        )
    return lines


def arguments() -> argparse.Namespace:
    """The sizes are for some minutes on two cores."""
    parser = argparse.ArgumentParser(prog="elastic.sh", description="The elastic proof.")
    parser.add_argument("folder", nargs="?", default="elastic")
    parser.add_argument("--reference", type=int, default=900, help="images of the reference")
    parser.add_argument("--week", type=int, default=4800, help="images of the week")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; nothing of the cluster is left")
