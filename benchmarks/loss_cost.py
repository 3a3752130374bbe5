"""What a loss costs in training: python benchmarks/loss_cost.py [--rounds 30]

Median time of one whole training step (forward, loss, backward, Adam) of the small PCN of 2048 points with each loss,
as a ratio to CD-L1's. Steps of all losses alternate in one process, so that the noise of the machine meets all alike.
"""

import argparse
import time

import compare_losses
import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--points", type=int, default=2048)
    arguments = parser.parse_args()
    import keras
    import tensorflow as tf

    from keras_wcd.demo import small_pcn

    (partial, complete), _ = compare_losses.arrays(None, (2048, arguments.points))
    pair = tf.constant(partial[: arguments.batch]), tf.constant(complete[: arguments.batch])
    names = [n for n in compare_losses.LOSSES if "=" not in n and not n.startswith("bilevel")]
    models = {}
    for name in names:
        keras.utils.set_random_seed(0)
        models[name] = small_pcn()
        models[name].compile(keras.optimizers.Adam(1e-3), loss=compare_losses.loss_of(name))
        # A trained network's predictions lie near the truth, which is where searches are fast.
        for _ in range(10):
            models[name].train_on_batch(*pair)
    times = {name: [] for name in names}
    for round_ in range(arguments.rounds):
        for i in np.random.default_rng(round_).permutation(len(names)):
            began = time.perf_counter()
            models[names[i]].train_on_batch(*pair)
            times[names[i]].append(time.perf_counter() - began)
    base = np.array(times["cd_l1"])
    print(f"batch {arguments.batch}, {arguments.points} points, {arguments.rounds} rounds\n")
    print("| loss | step, ms (median) | ratio to CD-L1 (median of rounds) |\n|---|---|---|")
    for name in names:
        print(f"| {name} | {1e3 * np.median(times[name]):.1f} | {np.median(np.array(times[name]) / base):.3f} |")


if __name__ == "__main__":
    main()
