"""The default fit by this code and by that of an earlier commit, in turn.

    SKVADE_DATA=<folder> python -m benchmarks.paired c71f8f4 --data mnist --rounds 1

Seconds and accuracy of each, in processes of their own, with the same seed; the commit is checked
out under `build/paired`. Records are printed and, unless `--dry`, added to
`benchmarks/results/speed/paired.jsonl`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.speed import keep

HERE = Path(__file__).parent.parent
FIT = """
import json, sys, time
from skvade import VaDEClustering
from skvade.datasets import fetch_benchmark
from skvade.metrics import clustering_accuracy

X, y = fetch_benchmark(sys.argv[1])
model = VaDEClustering(len(set(y)), random_state=int(sys.argv[2]))
start = time.perf_counter()
model.fit(X)
took = time.perf_counter() - start
acc = clustering_accuracy(y, model.labels_)
print(json.dumps({"seconds": round(took, 1), "acc": round(acc, 4)}))
"""


def checked_out(commit: str) -> Path:
    """The folder of a commit's files."""
    folder = HERE / "build" / "paired" / commit
    if not folder.exists():
        folder.mkdir(parents=True)
        files = subprocess.run(
            ["git", "archive", commit], cwd=HERE, check=True, capture_output=True
        )
        subprocess.run(["tar", "-x"], cwd=folder, input=files.stdout, check=True)
    return folder


def fit(folder: Path, data: str, seed: int) -> dict[str, float]:
    """One default fit by the code in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", FIT, data, str(seed)]
    output = subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return json.loads(output.splitlines()[-1])


def main(arguments: list[str] | None = None) -> None:
    """Fit in turn, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commit")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="keep no records")
    given = parser.parse_args(arguments)
    before = checked_out(given.commit)
    ratios = []
    for seed in range(given.rounds):
        old, new = (fit(folder, given.data, seed) for folder in (before, HERE))
        ratios.append(old["seconds"] / new["seconds"])
        found = {"what": "paired", "data": given.data, "seed": seed, "before": given.commit}
        found |= {"seconds_before": old["seconds"], "acc_before": old["acc"], **new}
        keep("paired", {**found, "ratio": round(ratios[-1], 3)}, given.dry)
    print(f"{statistics.median(ratios):.2f} times faster ({min(ratios):.2f}-{max(ratios):.2f})")


if __name__ == "__main__":
    main()
