"""The few lines for Spark; not tested, since it needs a cluster and a Java virtual machine.

    pip install pyspark
    spark-submit examples/distributed/spark.py

`TorchDistributor` starts the processes as torchrun does, so that `group()` finds what it needs.
"""


def train(path, rows):
    from skvade import VaDEClustering, distributed

    with distributed.group() as group:
        X = distributed.load_rows(rows)  # a folder of Parquet files that all processes see
        model = VaDEClustering(n_clusters=10, random_state=0).fit(X)
        if group.is_main:
            model.save(path)


if __name__ == "__main__":
    from pyspark.ml.torch.distributor import TorchDistributor

    distributor = TorchDistributor(num_processes=4, local_mode=False, use_gpu=False)
    distributor.run(train, "model.safetensors", "rows/")
