"""The labels of ILSVRC2012's devkit, whose numbers are its own and not the usual class indices.

`ILSVRC2012_validation_ground_truth.txt` has one number a line, for the images in order; `meta.mat`
says which WordNet id a number stands for (ILSVRC2012_ID, 1 to 1000 for those without children).
"""

import tarfile
from collections.abc import Callable
from pathlib import Path

from pipelines.datasets import source
from pipelines.datasets.matlab import structures
from pipelines.errors import UsageError

ARCHIVE = "ILSVRC2012_devkit_t12.tar.gz"
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
META = "meta.mat"
FOLDERS = ("ILSVRC2012_devkit_t12/data/", "devkit/data/", "data/", "")
DOWNLOAD = f"{ARCHIVE} (or, from Kaggle, LOC_val_solution.csv)"


def devkit_labels(root: Path) -> Callable[[str, int], str]:
    """Name and number of a validation image → its WordNet id.

    From the archive of the devkit, or from its folder, under `root`.
    """
    packed = source.file_or_none(root, (ARCHIVE,))
    place = packed or root
    meta, text = _unpacked(packed) if packed else _files(root)
    wnids = _wnids(meta, place)
    truth = [line.strip() for line in text.decode("ascii", "replace").splitlines() if line.strip()]

    def label(key: str, number: int) -> str:
        if not 1 <= number <= len(truth):
            raise UsageError(
                f"{place}: {TRUTH} has {len(truth)} lines, but there is an image {key}"
            )
        said = truth[number - 1]
        if not said.isdigit() or int(said) not in wnids:
            raise UsageError(f"{place}: line {number} of {TRUTH} is '{said[:20]}', no class's id")
        return wnids[int(said)]

    return label


def _wnids(meta: bytes, place: Path) -> dict[int, str]:
    rows = structures(meta, "synsets", ("ILSVRC2012_ID", "WNID", "num_children"), place)
    return {int(r["ILSVRC2012_ID"]): str(r["WNID"]) for r in rows if int(r["num_children"]) == 0}


def _unpacked(archive: Path) -> tuple[bytes, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:*") as packed:
            for member in packed:
                name = member.name.rpartition("/")[2]
                if name in (META, TRUTH) and (file := packed.extractfile(member)) is not None:
                    found[name] = file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UsageError(f"{archive} cannot be read ({error}); download it again") from error
    for name in (META, TRUTH):
        if name not in found:
            raise UsageError(f"{archive} has no {name}; is it the devkit for tasks 1 and 2?")
    return found[META], found[TRUTH]


def _files(root: Path) -> tuple[bytes, bytes]:
    truth = source.file(root, [ARCHIVE] + [folder + TRUTH for folder in FOLDERS], DOWNLOAD)
    meta = source.file(root, [folder + META for folder in FOLDERS], DOWNLOAD)
    return meta.read_bytes(), truth.read_bytes()
