"""Fit a model to one Parquet file, and label a folder of others file by file, without code of your own.

The two commands at the end work in any shell; the rest makes tables and counts what comes out.
"""

import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
from sklearn.datasets import make_blobs


def run(command: str) -> None:
    subprocess.run([sys.executable, *shlex.split(command)[1:]], check=True)


X, _ = make_blobs(900, 5, centers=3, random_state=0)
days = [pd.DataFrame(part, columns=list("abcde")) for part in X.reshape(3, 300, 5)]
Path("days").mkdir()
for number, day in enumerate(days):
    day.to_parquet(f"days/{number}.parquet")

run("python -m skmpcc days/0.parquet --n-clusters 3 --labels-only --output results")
run("python -m skmpcc predict results/model.safetensors days --output labels")

labels = sorted(Path("labels").iterdir())
print(*labels)
assert len(labels) == len(days)
