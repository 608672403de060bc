#!/usr/bin/env bash
# Everything that wants a GPU, in numbered calls of at most ten minutes each.
#
# benchmarks/gpu.sh 1 --output DIR                  the device, and the tests marked cuda
# benchmarks/gpu.sh 2 --output DIR                  milliseconds of an iteration, and inference
# benchmarks/gpu.sh 3 --output DIR --data FILES     MNIST by the paper's protocol, 125,000 iterations
# benchmarks/gpu.sh 4 --output DIR --data FILES     Fashion-MNIST by the paper's protocol, 75,000 iterations
#
# Calls 3 and 4 stop after --minutes and go on from their checkpoints when they are repeated, until they
# report scores. FILES is a folder with mnist.npz and fashion_mnist.npz, which have arrays X and y. Results
# are lines of JSON in DIR: device.jsonl, tests.jsonl, speed.jsonl, paper.jsonl; beside them lie the
# checkpoints, scores and pictures.
#
# --device, --max-iter, --limit, --budget and --cases make a short trial of the script, also on a CPU:
# benchmarks/gpu.sh 3 --output DIR --data FILES --device cpu --max-iter 4 --limit 100
set -euo pipefail

usage() {
    sed -n '2,/^set /{/^#/!d;s/^# \{0,1\}//;p;}' "$0"
    exit 2
}

[[ $# -ge 1 ]] || usage
call=$1
shift
output= data= device=cuda minutes=9 budget=20 max_iter= limit= precision= cases=
while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || usage
    case $1 in
        --output) output=$(realpath -m -- "$2") ;;
        --data) data=$(realpath -m -- "$2") ;;
        --device) device=$2 ;;
        --minutes) minutes=$2 ;;
        --budget) budget=$2 ;;
        --max-iter) max_iter=$2 ;;
        --limit) limit=$2 ;;
        --precision) precision=$2 ;;
        --cases) cases=$2 ;;
        *) usage ;;
    esac
    shift 2
done
[[ -n $output ]] || usage
mkdir -p "$output"
cd "$(dirname "$0")/.."
# This tree, whether it is installed or not.
export PYTHONPATH="$PWD:$PWD/benchmarks"
python=${PYTHON:-python}

describe() {
    "$python" - "$device" <<'PYTHON' | tee -a "$output/device.jsonl"
import json
import sys

import torch
from common import machine

row = {"kind": "device", "device": sys.argv[1], "machine": machine(), "cuda": torch.version.cuda}
if sys.argv[1].startswith("cuda"):
    found = torch.cuda.get_device_properties(sys.argv[1])
    row |= {
        "name": found.name,
        "capability": f"{found.major}.{found.minor}",
        "memory GiB": round(found.total_memory / 2**30, 1),
        "multiprocessors": found.multi_processor_count,
        "devices": torch.cuda.device_count(),
        "cudnn": torch.backends.cudnn.version(),
    }
print(json.dumps(row))
PYTHON
}

run_tests() {
    local status=0
    # Without workers: tests of a captured graph are not to wait for each other's kernels.
    timeout 540 "$python" -m pytest -m cuda -n 0 -q -rs --junitxml "$output/tests.xml" tests || status=$?
    "$python" - "$output/tests.xml" "$status" <<'PYTHON' | tee -a "$output/tests.jsonl"
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

row = {"kind": "tests", "status": int(sys.argv[2])}
if Path(sys.argv[1]).exists():
    cases = list(ElementTree.parse(sys.argv[1]).iter("testcase"))
    outcomes = {case.get("name"): {part.tag for part in case} for case in cases}
    for tag in ("failure", "error", "skipped"):
        row[tag] = [name for name, tags in outcomes.items() if tag in tags]
    row["passed"] = sum(not tags & {"failure", "error", "skipped"} for tags in outcomes.values())
print(json.dumps(row))
PYTHON
    return "$status"
}

time_iterations() {
    # Several cases are one argument here and several there.
    # shellcheck disable=SC2086
    timeout 590 "$python" benchmarks/speed.py --devices "$device" --budget "$budget" \
        ${limit:+--samples "$limit"} ${cases:+--cases $cases} --output "$output/speed.jsonl"
}

train() {
    local preset=$1
    [[ -n $data ]] || usage
    timeout 595 "$python" benchmarks/paper.py --data "$data/$preset.npz" --preset "$preset" \
        --checkpoint "$output/$preset.ckpt" --output "$output/paper.jsonl" --minutes "$minutes" \
        --device "$device" ${max_iter:+--max-iter "$max_iter"} ${limit:+--limit "$limit"} \
        ${precision:+--precision "$precision"}
}

case $call in
    1)
        rm -f "$output/tests.xml"
        describe
        run_tests
        ;;
    2) time_iterations ;;
    3) train mnist ;;
    4) train fashion_mnist ;;
    *) usage ;;
esac
