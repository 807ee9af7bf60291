"""Two processes on one machine, each with its own rows.

    torchrun --nproc-per-node 2 examples/distributed/torchrun.py

The same script runs on several machines: `torchrun --nnodes 4 --nproc-per-node 8 --rdzv-backend
c10d --rdzv-endpoint host:29500 ...`. Here each process takes every second row of scikit-learn's
digits; in earnest it would read its own files.
"""

import tempfile
from pathlib import Path

from sklearn.datasets import load_digits

import skvade.metrics
from skvade import VaDEClustering, distributed

X, y = load_digits(return_X_y=True)

with distributed.group() as group:
    mine = slice(group.rank, None, group.size)
    model = VaDEClustering(n_clusters=10, random_state=0).fit(X[mine] / 16)
    right = skvade.metrics.clustering_accuracy(y[mine], model.labels_)
    print(f"process {group.rank} of {group.size}: {len(model.labels_)} rows, accuracy {right:.3f}")
    if group.is_main:
        print(model.report())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "digits.safetensors"
            model.save(path)
            print(f"saved, {path.stat().st_size / 1e6:.1f} MB, and read again: {skvade.load(path)}")
