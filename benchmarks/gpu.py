"""What a GPU makes of it: the phases of a fit of MNIST, and steps against the card's matrix rate.

    SKVADE_DATA=<folder> python -m benchmarks.gpu

Rows per second of gradient steps at several batch sizes, with the share of what their matrix
products alone would allow, as in `benchmarks/speed.py`. Without a GPU the same code runs on the
CPU. Records are added to `benchmarks/results/speed/gpu.jsonl`, unless `--dry`.
"""

from __future__ import annotations

import argparse

from benchmarks.speed import DEVICE, keep, measure_phases, measure_step


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="512,2048,8192", help="with commas between them")
    parser.add_argument("--precisions", default="bfloat16,float32", help="likewise")
    parser.add_argument("--steps-only", action="store_true", help="no whole fit")
    parser.add_argument("--dry", action="store_true", help="keep no records")
    given = parser.parse_args(arguments)
    name = "gpu" if DEVICE.type == "cuda" else f"gpu-on-{DEVICE.type}"
    for found in [] if given.steps_only else measure_phases(["mnist"]):
        keep(name, found, given.dry)
    for precision in given.precisions.split(","):
        for batch in map(int, given.batches.split(",")):
            for found in measure_step(batch, precision):
                keep(name, found, given.dry)


if __name__ == "__main__":
    main()
