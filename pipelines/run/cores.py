"""A worker's part of its node: of the cores, threads to decode with; of a GPU, memory."""

import os

CORES = "NHD_CORES"  # a worker's part of its node's cores, as the driver found it


def decode_threads(asked: int = 0) -> int:
    """As many as asked for; 0 means one per core of this worker, but 2 to 8."""
    cores = float(os.environ.get(CORES, "0")) or os.cpu_count() or 2
    return asked or min(8, max(2, int(cores)))


def limit_memory(part: float) -> None:
    """Let this process have no more than a part of its GPU's memory, as others have the rest.

    More than that then counts as memory that ran out: batches are probed and halved within it.
    """
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(part)
