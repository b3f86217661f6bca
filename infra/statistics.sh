#!/usr/bin/env bash
# The tables of infra/statistics.md: two sets of scenes, a lens learned on one, and simulated audits
# of the other. Eight minutes on two cores; a table that is there is not made again.
#
#     bash infra/statistics.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
bash infra/setup.sh
export OMP_NUM_THREADS=1
folder=${1:-statistics}
nhd() { .venv/bin/nhd "$@"; }
attributes=$(.venv/bin/python -c \
    'from pipelines.tiny.scenes import ATTRIBUTES; print(",".join(ATTRIBUTES))')

for seed in 11 12; do
    [ -e "$folder/scenes-$seed" ] || nhd scenes --out "$folder/scenes-$seed" --count 2000 --seed $seed
done
nhd extract --data "$folder/scenes-11/*.tar" --out "$folder/learned" --keep dense --in-process \
    --concepts "$attributes" --labels "$attributes"
nhd calibrate --run "$folder/learned" --out "$folder/lens" --in-process
nhd extract --data "$folder/scenes-12/*.tar" --out "$folder/run" --in-process \
    --lens "$folder/lens" --labels "$attributes"

table() { # NAME COMMAND...: its output in NAME.txt
    [ -e "$folder/$1.txt" ] || { nhd "${@:2}" >"$folder/.$1" && mv "$folder/.$1" "$folder/$1.txt"; }
}
table sizes power --run "$folder/run" --images 500,1000,2000,5000 --series 0 --attributed 2 --permuted 20
table series power --run "$folder/run" --images 1000 --series 300 --simulations 100 \
    --attributed 0 --permuted 0 --effects 0.3 --of concepts
table unequal power --run "$folder/run" --baseline-images 10000 --images 500 --series 0 \
    --attributed 2 --permuted 20
table pairs power --run "$folder/learned" --of pairs --baseline-images 10000 --images 500 \
    --series 0 --attributed 0 --permuted 0 --effects 0.3
table copies power --run "$folder/run" --baseline-images 500 --images 500 --copies 5 --series 0 \
    --attributed 0 --permuted 0 --effects 0.3 --simulations 100 --of concepts
table copies-in-shards power --run "$folder/run" --images 2000 --copies 5 --per-shard 50 \
    --series 0 --attributed 0 --permuted 0 --effects 0.3 --of concepts
table auc power --run "$folder/run" --images 500 --baseline-images 500 --of auc --series 0 \
    --attributed 0 --permuted 0 --effects 0.3 --simulations 200
[ -e "$folder/bench/concepts/table.md" ] || nhd bench concepts --out "$folder/bench"
