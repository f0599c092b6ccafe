"""Score recordings partition by partition, with a generated model and nothing else.

`score_partition` takes an iterator and returns an iterator, so it works with any map over
partitions. Spark sends the generated file to its workers, which need nothing but NumPy.

    spark.sparkContext.addPyFile("seed_numpy.py")                 # PySpark
    scores = recordings.rdd.mapPartitions(score_partition).toDF(["key", "chirp"])

    client.upload_file("seed_numpy.py")                           # Dask
    scores = bag.from_sequence(recordings).map_partitions(score_partition)

A row is (key, recording). A recording is a list of one or more steps of four numbers. The result
is (key, chirp): how sure the model is, after the last step, that there was a chirp. Rows are
returned as soon as they are computed, so not always in the order of the input.
"""

import numpy as np
from seed_numpy import Model

BATCH = 64
WAITING = 16 * BATCH  # rows that may wait for others of their length


def score_partition(rows):
    """Yield (key, chirp) for each row; rows of one length are computed BATCH at a time."""
    many, one = Model(batch=BATCH), Model()
    groups = {}
    waiting = 0
    for key, recording in rows:
        group = groups.setdefault(len(recording), [])
        group.append((key, recording))
        waiting += 1
        if len(group) == BATCH:
            yield from scored(many, group)
        elif waiting == WAITING:
            group = max(groups.values(), key=len)
            yield from scored_singly(one, group)
        else:
            continue
        waiting -= len(group)
        del groups[len(group[0][1])]
    for group in groups.values():
        yield from scored_singly(one, group)


def scored(model, group):
    """A full batch: one call for all its rows."""
    model.reset()  # the layers were saved with stateful=True: without it the last rows would go on
    y = model.predict(np.array([recording for _, recording in group]))
    return [(key, chirp) for (key, _), chirp in zip(group, y[:, -1, 1].tolist())]


def scored_singly(model, group):
    """Rows that found too few others of their length."""
    for key, recording in group:
        model.reset()
        yield key, float(model.predict(recording)[-1, 1])
