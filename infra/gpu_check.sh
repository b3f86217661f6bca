#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: the tests that need one, then one table (nhd bench gpu).
#
#     bash infra/gpu_check.sh [PYTHON] [WHEELS]
#
# PYTHON (python3 by default) has torch and sees the GPU; neither Ray nor nhd need be installed.
# WHEELS is a folder with the wheels that PYTHON lacks, installed from there without a network into
# a folder of their own, so that PYTHON itself stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
wheels=${2:-}
needed="torch torchvision open_clip timm ftfy regex huggingface_hub tqdm simplejpeg pyarrow fsspec
safetensors braceexpand numpy PIL pytest"

extra=$(mktemp -d)
trap 'rm -rf "$extra"' EXIT
export PYTHONPATH="$PWD:$extra${PYTHONPATH:+:$PYTHONPATH}"
if [ -n "$wheels" ]; then
    "$python" -m pip install -q --no-index --no-deps --target "$extra" "$wheels"/*.whl
fi

missing=$("$python" - $needed <<'PY'
import importlib.util
import sys

print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))
PY
)
if [ -n "$missing" ]; then
    echo "gpu_check.sh: $python lacks: $missing. Put their wheels in a folder and give it" >&2
    echo "as the second argument: bash infra/gpu_check.sh $python WHEELS" >&2
    exit 2
fi

"$python" - <<'PY'
import torch

if not torch.cuda.is_available():
    raise SystemExit("gpu_check.sh: torch sees no GPU here")
print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
PY
"$python" -m pytest -q -p no:cacheprovider -o addopts= -m gpu tests/gpu
"$python" - <<'PY'
from pipelines.bench import bench

broken = [result for result in bench(["gpu"], None, None, 0) if not result.kept]
raise SystemExit(1 if broken else 0)
PY
