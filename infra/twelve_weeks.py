"""Twelve weeks of generated images, audited week by week; called by twelve_weeks.sh.

Weeks 1 to 8 are drawn like the reference. In weeks 9 and 10 yellow things are eight times as
likely, so that yellow is in about half of the scenes instead of a seventh, and every other colour
in fewer. In weeks 11 and 12 it is as before. Expected is, with one `nhd audit` a week:

- weeks 1 to 8 pass, and so do 11 and 12;
- weeks 9 and 10 end with exit code 1, and the only cause is yellow, since week 9;
- colours that became rarer only because yellow grew are no cause; the verdict of week 9 lists
  at least one of them as following from yellow;
- the trend shows yellow above its limit in weeks 9 and 10, and in no other.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from pipelines.tiny.scenes import ATTRIBUTES, COLOURS

BOOST = "yellow=8"
CONFIG = """\
audit: Twelve weeks
out: audits
input: "scenes/{{name}}/*.tar"
concepts: [{concepts}]
baseline: {{reference: "scenes/reference/*.tar"}}
lens: {{calibrate: {{}}}}
schedule: {{audits: {audits}, false_alarms: 0.05}}
thresholds: {{concepts: {{default: 0.15}}, auc: 0.65, rejects: 0.01}}
run: {{in_process: true}}
"""


def main() -> None:
    """Draw, audit and check every week; print a table."""
    given = arguments()
    folder = Path(given.folder).absolute()
    names = [f"2026-W{week:02}" for week in range(1, given.weeks + 1)]
    shifted = names[given.shift - 1 : given.shift + 1]
    draw(folder, "reference", given.reference, 1000 * given.seed)
    config = folder / "audit.yaml"
    config.write_text(CONFIG.format(concepts=", ".join(ATTRIBUTES), audits=given.weeks))
    codes = {}
    for week, name in enumerate(names, 1):
        boost = BOOST if name in shifted else ""
        draw(folder, name, given.size, 1000 * given.seed + week, boost)
        print(f"== {name}: nhd audit --config {config} --name {name}", flush=True)
        codes[name] = nhd("audit", "--config", str(config), "--name", name)
        if codes[name] not in (0, 1):
            sys.exit(f"week {name} ended with exit code {codes[name]}")
    verdicts = {
        name: json.loads((folder / "audits" / "audits" / name / "verdict.json").read_text())
        for name in names
    }
    trend = pd.read_parquet(folder / "audits" / "trend.parquet")
    print(table(codes, verdicts, trend))
    print(f"page: {folder}/audits/index.html")
    wrong = unexpected(codes, verdicts, trend, shifted)
    print("\n".join(wrong) if wrong else "Everything is as expected.")
    sys.exit(1 if wrong else 0)


def arguments() -> argparse.Namespace:
    """The sizes are for some minutes on two cores that have nothing else to do."""
    parser = argparse.ArgumentParser(description="Audits of twelve simulated weeks.")
    parser.add_argument("folder", nargs="?", default="twelve_weeks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weeks", type=int, default=12)
    parser.add_argument("--shift", type=int, default=9, help="the first of two shifted weeks")
    parser.add_argument("--reference", type=int, default=1500, help="images of the reference")
    parser.add_argument("--size", type=int, default=1000, help="images of a week")
    return parser.parse_args()


def draw(folder: Path, name: str, count: int, seed: int, boost: str = "") -> None:
    """The scenes of one week, unless they are there."""
    out = folder / "scenes" / name
    done = out / "done"
    if not done.exists():
        more = ("--boost", boost) if boost else ()
        scenes = ("--out", str(out), "--count", str(count), "--seed", str(seed), *more)
        if nhd("scenes", *scenes, "--per-shard", "250"):
            sys.exit(f"the scenes of {name} could not be drawn")
        done.touch()


def nhd(*command: str) -> int:
    """The exit code of a command of nhd."""
    return subprocess.run([sys.executable, "-m", "jobs.cli", *command], check=False).returncode


def table(codes: dict[str, int], verdicts: dict[str, dict], trend: pd.DataFrame) -> str:
    """One line a week."""
    rows = []
    yellow = trend[trend["concept"] == "yellow"].set_index("name")
    for name, verdict in verdicts.items():
        causes = [f"{c['text']} since {c['since']}" for c in verdict["causes"]]
        rows.append(
            {
                "week": name,
                "exit": codes[name],
                "state": verdict["state"],
                "d yellow": f"{yellow.loc[name, 'effect']:+.2f}",
                "AUC": f"{verdict['auc']:.3f}",
                "causes": ", ".join(causes) or "-",
                "follow": ", ".join(f["text"] for f in verdict["follows"]) or "-",
            }
        )
    return pd.DataFrame(rows).to_string(index=False)


def unexpected(
    codes: dict[str, int], verdicts: dict[str, dict], trend: pd.DataFrame, shifted: list[str]
) -> list[str]:
    """A sentence for each thing that is not as the docstring of this file says."""
    wrong = []
    for name, verdict in verdicts.items():
        causes = [(c["kind"], c["text"], c["direction"], c["since"]) for c in verdict["causes"]]
        right = [("concept", "yellow", "up", shifted[0])] if name in shifted else []
        code = 1 if name in shifted else 0
        if codes[name] != code:
            wrong.append(f"{name}: exit code {codes[name]}, not {code}: {verdict['sentence']}")
        if causes != right:
            wrong.append(f"{name}: causes are {causes}, not {right}")
    rarer = {f["text"] for f in verdicts[shifted[0]]["follows"]} & (set(COLOURS) - {"yellow"})
    if not rarer:
        wrong.append(f"{shifted[0]}: no colour follows from yellow, so nothing was told apart")
    alarms = list(trend[(trend["concept"] == "yellow") & trend["alarm"]]["name"])
    if alarms != shifted:
        wrong.append(f"the trend has yellow above its limit in {alarms}, not in {shifted}")
    return wrong


if __name__ == "__main__":
    main()
