"""Every loss at equal steps from equal starts: python benchmarks/compare_losses.py --seeds 3 -o runs/compare

Trains a small PCN with each loss and each seed and prints mean and spread of CD-L1 x 1000 on held-out scans. Runs are
kept in OUTPUT/runs.jsonl as they end, so that a stopped comparison goes on where it was. With --real FOLDER the data
are `real8_train.npz` and `real8_val.npz` in FOLDER (arrays `complete`, `partial`) instead of Shapes8.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import time

import numpy as np

LOSSES = {
    "cd_l1": {"name": "cd", "norm": "l1"},
    "cd_l2": {"name": "cd", "norm": "l2"},
    "hyper_cd": {"name": "hyper_cd"},
    "hyper_cd alpha=1e2": {"name": "hyper_cd", "alpha": 1e2},
    "hyper_cd alpha=1e3": {"name": "hyper_cd", "alpha": 1e3},
    "hyper_cd alpha=1e4": {"name": "hyper_cd", "alpha": 1e4},
    "hyper_cd alpha=1e5": {"name": "hyper_cd", "alpha": 1e5},
    "info_cd": {"name": "info_cd"},
    "dcd": {"name": "dcd", "alpha": 200.0, "n_lambda": 0.5},
    "landau_cd": {"name": "landau_cd"},
    "landau_cd scale=0.1": {"name": "landau_cd", "scale": 0.1},
    "landau_cd scale=0.03": {"name": "landau_cd", "scale": 0.03},
    "landau_cd scale=0.01": {"name": "landau_cd", "scale": 0.01},
    "extreme_value_cd": {"name": "extreme_value_cd"},
    "chi_squared_cd": {"name": "chi_squared_cd"},
    "log_logistic_cd": {"name": "log_logistic_cd"},
    "gamma_cd": {"name": "gamma_cd"},
    "weibull_cd": {"name": "weibull_cd"},
    "logistic_cd": {"name": "logistic_cd"},
    "normal_cd": {"name": "normal_cd"},
    "distilled": None,
    "bilevel landau": None,
}
BATCH = 8


def small_pcn():
    from keras_wcd.models import PCN

    return PCN(num_coarse=512, grid_size=2, latent=256, encoder=(32, 64, 128), hidden=512, folding=128)


def arrays(real, steps):
    """Training and held-out pairs."""
    if real is None:
        from keras_wcd.data import Shapes8

        data = Shapes8(min(BATCH * steps, 3200), 160, 160)
        return data.arrays("train"), data.arrays("val")
    from keras_wcd.ops.sampling import farthest_point_indices

    pairs = []
    for name, views in (("train", slice(None)), ("val", slice(0, 2))):
        stored = np.load(pathlib.Path(real) / f"real8_{name}.npz", allow_pickle=False)
        complete, partial = stored["complete"].astype("float32"), stored["partial"][:, views].astype("float32")
        ordered = np.stack([points[farthest_point_indices(points, 2048)] for points in complete])
        pairs.append((partial.reshape(-1, *partial.shape[2:]), np.repeat(ordered, partial.shape[1], axis=0)))
    return tuple(pairs)


def with_outliers(complete, share, seed=0):
    """The same clouds, a share of their points replaced by noise in the unit box."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-0.5, 0.5, complete.shape).astype("float32")
    return np.where(rng.uniform(size=(*complete.shape[:2], 1)) < share, noise, complete)


def train(job):
    """One run in a process with one thread; its curve of held-out CD-L1 x 1000."""
    name, seed, steps, outliers, real = (job[key] for key in ("loss", "seed", "steps", "outliers", "real"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    if not tf.config.threading.get_intra_op_parallelism_threads():
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    from keras_wcd import losses
    from keras_wcd.distill import distill
    from keras_wcd.metrics import CDL1

    (partial, complete), held = arrays(real, steps)
    if outliers:
        complete = with_outliers(complete, outliers)
    keras.utils.set_random_seed(seed)
    model = small_pcn()
    data = tf.data.Dataset.from_tensor_slices((partial, complete)).shuffle(len(partial), seed=seed)
    data = data.repeat().batch(BATCH, drop_remainder=True)
    warmup = steps // 20
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, alpha=0.01, warmup_target=1e-3, warmup_steps=warmup
    )
    began = time.perf_counter()
    if name == "bilevel landau":
        curve = bilevel(model, data, held, steps, rate)
    else:
        loss = distill().loss() if name == "distilled" else losses.get(LOSSES[name])
        model.compile(keras.optimizers.Adam(rate), loss=loss, metrics=[CDL1()])
        chunks = {"epochs": job["chunks"], "steps_per_epoch": steps // job["chunks"]}
        held = tf.data.Dataset.from_tensor_slices(held).batch(16)
        curve = model.fit(data, validation_data=held, verbose=0, **chunks).history["val_cd_l1"]
    return {**job, "curve": [float(v) for v in curve], "seconds": time.perf_counter() - began}


def bilevel(model, data, held, steps, rate):
    """Scale of LandauCD learned from 0.1 on; a tenth as many batches are held back for the upper loss."""
    from keras_wcd.demo import cd_l1
    from keras_wcd.distill import BilevelTraining

    training = BilevelTraining(model, "landau", scale=0.1, unroll=4, learning_rate=rate, upper_learning_rate=0.02)
    lower, upper = data.skip(40).take(steps), data.take(40).cache()
    training.fit(lower, upper, progress=False)
    return [cd_l1(held[1], model.predict(held[0], verbose=0)).mean()]


def table(records):
    """Mean and spread over seeds, best first."""
    final = {}
    for record in records:
        final.setdefault(record["loss"], []).append(record["curve"][-1])
    lines = [f"{'loss':24s}  runs   mean  spread (standard deviation over seeds)"]
    for name, values in sorted(final.items(), key=lambda item: np.mean(item[1])):
        spread = np.std(values, ddof=1) if len(values) > 1 else float("nan")
        lines.append(f"{name:24s}  {len(values):4d}  {np.mean(values):5.2f}  {spread:5.2f}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--chunks", type=int, default=5, help="points of the curve")
    parser.add_argument("--outliers", type=float, default=0.0, help="share of the truth replaced by noise")
    parser.add_argument("--real", help="folder with real8_train.npz and real8_val.npz")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    kept = arguments.output / "runs.jsonl"
    records = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    shared = {key: getattr(arguments, key) for key in ("steps", "chunks", "outliers", "real")}
    jobs = [{"loss": n, "seed": s, **shared} for s in range(arguments.seeds) for n in arguments.losses]
    jobs = [job for job in jobs if not any(job.items() <= record.items() for record in records)]
    arrays(arguments.real, arguments.steps)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        for i, future in enumerate(concurrent.futures.as_completed([pool.submit(train, job) for job in jobs]), 1):
            records.append(future.result())
            with kept.open("a") as file:
                file.write(json.dumps(records[-1]) + "\n")
            print(f"{i}/{len(jobs)} {records[-1]['loss']} {records[-1]['curve'][-1]:.2f}", flush=True)
    print(table([r for r in records if shared.items() <= r.items()]))


if __name__ == "__main__":
    main()
