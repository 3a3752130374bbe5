"""Whether losses pull a network differently: python benchmarks/loss_gradients.py [--real FOLDER] [--steps 300]

Trains the small PCN of `compare_losses.py` with CD-L1 and prints, before and after, the cosine between the gradient
(with respect to all weights) of each loss and that of CD-L1 on the same batches, mean and smallest over the batches;
with --outliers a share of the ground truth is noise. A loss whose cosine is 1 trains as CD-L1 does, at another learning
rate.
"""

import argparse

import compare_losses
import numpy as np


def gradient(model, loss, partial, complete):
    """The gradient of a loss of the last stage in all weights, as one vector."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = tf.reduce_mean(loss.call(complete, model(partial, training=True)[-1]))
    pieces = tape.gradient(value, model.trainable_variables)
    return np.concatenate([np.ravel(p) for p in pieces if p is not None]).astype(np.float64)


def cosines(model, losses, batches):
    """Cosines with the first loss by name, one for each batch."""
    rows = {name: [] for name in losses}
    for partial, complete in batches:
        found = {name: gradient(model, loss, partial, complete) for name, loss in losses.items()}
        first = next(iter(found.values()))
        for name, g in found.items():
            rows[name].append(g @ first / max(np.linalg.norm(g) * np.linalg.norm(first), 1e-300))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=compare_losses.POINTS, default="pcn")
    parser.add_argument("--real", help="folder with real8_train.npz and real8_val.npz")
    parser.add_argument("--outliers", type=float, default=0.0)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batches", type=int, default=4)
    arguments = parser.parse_args()
    compare_losses.one_thread()
    import keras
    import tensorflow as tf

    (partial, complete), _ = compare_losses.arrays(arguments.real, compare_losses.POINTS[arguments.network])
    if arguments.outliers:
        complete = compare_losses.with_outliers(complete, arguments.outliers)
    keras.utils.set_random_seed(0)
    model = compare_losses.network(arguments.network)
    names = [name for name in compare_losses.LOSSES if not name.startswith("bilevel")]
    losses = {name: compare_losses.loss_of(name) for name in names}
    size = compare_losses.BATCH
    slices = [slice(i * size, (i + 1) * size) for i in range(arguments.batches)]
    batches = [(tf.constant(partial[rows]), tf.constant(complete[rows])) for rows in slices]
    before = cosines(model, losses, batches)
    model.compile(keras.optimizers.Adam(compare_losses.RATES[arguments.network]), loss=losses["cd_l1"])
    data = tf.data.Dataset.from_tensor_slices((partial, complete)).shuffle(len(partial), seed=0).repeat().batch(size)
    model.fit(data, epochs=1, steps_per_epoch=arguments.steps, verbose=0)
    after = cosines(model, losses, batches)
    residual = np.median(np.sqrt(squared_distances(model, batches)))
    print(
        f"{arguments.network}, {'real8' if arguments.real else 'shapes8'}, {arguments.outliers:.0%} outliers; ", end=""
    )
    print(f"median distance after {arguments.steps} steps {residual:.4f}\n")
    print("| loss | before training: mean | smallest | after: mean | smallest |\n|---|---|---|---|---|")
    for name in names:
        figures = (np.mean(before[name]), np.min(before[name]), np.mean(after[name]), np.min(after[name]))
        print(f"| {name} | " + " | ".join(f"{figure:.5f}" for figure in figures) + " |")


def squared_distances(model, batches):
    """Squared distances from predictions to their ground truth."""
    from keras_wcd.ops import nearest

    return np.concatenate([np.ravel(nearest(model(partial)[-1], complete)[0]) for partial, complete in batches])


if __name__ == "__main__":
    main()
