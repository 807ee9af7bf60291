"""Two workers of Ray Train, each with its own rows; then prediction over a Ray dataset.

    pip install "skvade[ray]"
    python examples/distributed/ray_train.py

Ray Train makes the process group, and `group()` joins it. The script starts a local cluster of its
own; on a cluster of yours, leave out `ray.init` and ask for GPUs by `use_gpu=True`.
"""

import tempfile
from pathlib import Path

import numpy as np
import ray
from ray.train import ScalingConfig, get_context
from ray.train.torch import TorchTrainer
from sklearn.datasets import load_digits

import skvade
from skvade.metrics import clustering_accuracy


def train(config):
    from skvade import VaDEClustering, distributed

    X, _ = load_digits(return_X_y=True)  # in earnest: the worker's own files
    with distributed.group() as group:
        model = VaDEClustering(n_clusters=10, random_state=0)
        model.fit(X[group.rank :: group.size] / 16)
        if group.is_main:
            model.save(config["path"])
    assert group.size == get_context().get_world_size()


class Predict:
    """Reads the model once, and labels batches."""

    def __init__(self, path):
        self.model = skvade.load(path)

    def __call__(self, batch):
        return {"label": self.model.predict(batch["pixels"] / 16), "digit": batch["digit"]}


if __name__ == "__main__":
    ray.init(num_cpus=3, include_dashboard=False, logging_level="error")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "digits.safetensors")
        workers = ScalingConfig(num_workers=2, use_gpu=False)
        TorchTrainer(train, train_loop_config={"path": path}, scaling_config=workers).fit()
        X, y = load_digits(return_X_y=True)
        items = zip(X, y, strict=True)
        rows = ray.data.from_items([{"pixels": row, "digit": digit} for row, digit in items])
        one = ray.data.ActorPoolStrategy(size=1)
        found = rows.map_batches(
            Predict, fn_constructor_args=(path,), batch_size=500, compute=one
        ).to_pandas()
        right = clustering_accuracy(found["digit"], found["label"])
        print(f"{len(found)} rows, sizes {np.bincount(found['label'])}, accuracy {right:.3f}")
    ray.shutdown()
