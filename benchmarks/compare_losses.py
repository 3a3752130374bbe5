"""Every loss at equal steps from equal starts: python benchmarks/compare_losses.py --seeds 3 -o runs/compare

Trains a small network with each loss and each seed, prints mean and spread of CD-L1 x 1000 on held-out scans for every
setting (network, data, outliers, steps) and draws the curves. Runs are kept in OUTPUT/runs.jsonl as they end, so that a
stopped comparison goes on where it was, and further settings join the same tables. With --real FOLDER the data are
`real8_train.npz` and `real8_val.npz` in FOLDER (arrays `complete`, `partial`) instead of Shapes8. With --outliers 0.02
that share of the points of every ground truth trained on is noise; scores are against clean ones. --report trains
nothing.
"""

import argparse
import concurrent.futures
import functools
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
    "distilled": 1.0,
    "distilled alpha=1e3": 1e3,
    "bilevel landau": 1.0,
    "bilevel landau scale=0.1": 0.1,
}
POINTS = {"pcn": (256, 1024), "pcn_glorot": (256, 1024), "mirrornet": (2048, 2048)}
"""Points of a scan and of its completion, for each network."""
RATES = {"pcn": 3e-3, "pcn_glorot": 3e-3, "mirrornet": 1e-3}
"""The highest learning rate of each network."""
BATCH = 16
FAILED = 200.0
"""A run that ends above it has not learned: points drawn at random in the unit box are at 150."""
SETTING = ("network", "data", "outliers", "steps")


def network(name):
    """A small PCN of 1024 points, also from Keras's usual first weights, or a narrower MirrorNet (what ships)."""
    from keras_wcd.models import PCN, MirrorNet
    from keras_wcd.models.weights.initialization import draw_uniform, weighted_layers

    if name == "mirrornet":
        return MirrorNet(width=96)
    model = PCN(num_coarse=256, grid_size=2, latent=256, encoder=(32, 64, 128), hidden=256, folding=64)
    if name == "pcn_glorot":
        for layer in weighted_layers(model):
            draw_uniform(layer, (6 / sum(layer.kernel.shape)) ** 0.5)
    return model


def loss_of(name):
    """A loss of the table; a distilled one has the teacher HyperCD with that alpha."""
    from keras_wcd import losses
    from keras_wcd.distill import distill

    if name.startswith("distilled"):
        return distill(losses.HyperCD(alpha=LOSSES[name])).loss()
    return losses.get(LOSSES[name])


@functools.lru_cache(maxsize=2)
def arrays(real, counts):
    """Training and held-out pairs; ground truth is ordered by farthest points."""
    scan, whole = counts
    if real is None:
        from keras_wcd.data import Shapes8

        data = Shapes8(3200, 160, 160)
        pairs = [data.arrays(split) for split in ("train", "val")]
    else:
        from keras_wcd.ops.sampling import farthest_point_indices

        pairs = []
        for name, views in (("train", slice(None)), ("val", slice(0, 4))):
            stored = np.load(pathlib.Path(real) / f"real8_{name}.npz", allow_pickle=False)
            complete, partial = stored["complete"].astype("float32"), stored["partial"][:, views].astype("float32")
            ordered = np.stack([points[farthest_point_indices(points, whole)] for points in complete])
            pairs.append((partial.reshape(-1, *partial.shape[2:]), np.repeat(ordered, partial.shape[1], axis=0)))
    return tuple((thinned(partial, scan), complete[:, :whole]) for partial, complete in pairs)


def thinned(partial, count):
    """Scans with `count` of their points, drawn once."""
    rng = np.random.default_rng(0)
    if partial.shape[1] == count:
        return partial
    return np.stack([points[rng.permutation(len(points))[:count]] for points in partial])


def with_outliers(complete, share, seed=0):
    """The same clouds, a share of their points replaced by noise in the unit box."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-0.5, 0.5, complete.shape).astype("float32")
    return np.where(rng.uniform(size=(*complete.shape[:2], 1)) < share, noise, complete)


def one_thread():
    """Processes that train side by side have a core each."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def train(job, real):
    """One run; its curve of held-out CD-L1 x 1000."""
    import keras
    import tensorflow as tf

    from keras_wcd.metrics import CDL1

    began = time.perf_counter()
    keras.backend.clear_session()
    (partial, complete), held = arrays(real, POINTS[job["network"]])
    if job["outliers"]:
        complete = with_outliers(complete, job["outliers"])
    keras.utils.set_random_seed(job["seed"])
    model, steps = network(job["network"]), job["steps"]
    data = tf.data.Dataset.from_tensor_slices((partial, complete)).shuffle(len(partial), seed=job["seed"])
    data = data.repeat().batch(BATCH, drop_remainder=True)
    warmup = steps // 20
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warmup, alpha=0.01, warmup_target=RATES[job["network"]], warmup_steps=warmup
    )
    if job["loss"].startswith("bilevel"):
        curve = bilevel(model, data, held, steps, rate, LOSSES[job["loss"]])
    else:
        model.compile(keras.optimizers.Adam(rate), loss=loss_of(job["loss"]), metrics=[CDL1()])
        chunks = {"epochs": job["chunks"], "steps_per_epoch": steps // job["chunks"]}
        held = tf.data.Dataset.from_tensor_slices(held).batch(16)
        curve = model.fit(data, validation_data=held, verbose=0, **chunks).history["val_cd_l1"]
    return {**job, "curve": [float(v) for v in curve], "seconds": time.perf_counter() - began}


def bilevel(model, data, held, steps, rate, scale):
    """Scale of LandauCD learned from `scale` on; 40 batches are held back for the upper loss."""
    from keras_wcd.demo import cd_l1
    from keras_wcd.distill import BilevelTraining

    training = BilevelTraining(model, "landau", scale=scale, unroll=4, learning_rate=rate, upper_learning_rate=0.02)
    lower, upper = data.skip(40).take(steps), data.take(40).cache()
    training.fit(lower, upper, progress=False)
    return [cd_l1(held[1], model.predict(held[0], verbose=0)).mean()]


def settings(records):
    """The settings met, and their runs by loss."""
    found = {}
    for record in records:
        key = tuple(record[name] for name in SETTING)
        found.setdefault(key, {}).setdefault(record["loss"], []).append(record["curve"])
    return dict(sorted(found.items()))


def table(runs):
    """Mean and spread over the seeds that learned, best first, and the mean difference from CD-L1 at equal seeds."""
    lines = ["| loss | runs | failed | mean | spread | against CD-L1 |", "|---|---|---|---|---|---|"]
    final = {loss: np.array([curve[-1] for curve in curves]) for loss, curves in runs.items()}
    learned = {loss: values[values < FAILED] for loss, values in final.items()}
    for loss, values in sorted(learned.items(), key=lambda item: np.mean(item[1]) if len(item[1]) else np.inf):
        mean = f"{values.mean():.2f}" if len(values) else ""
        spread = f"{values.std(ddof=1):.2f}" if len(values) > 1 else ""
        counts = f"{len(final[loss])} | {len(final[loss]) - len(values) or ''}"
        lines.append(f"| {loss} | {counts} | {mean} | {spread} | {against(final, loss)} |")
    return "\n".join(lines)


def against(final, loss):
    """Mean difference from CD-L1 over the seeds at which both learned, with twice its standard error."""
    pairs = np.array(list(zip(final[loss], final.get("cd_l1", ()), strict=False)))
    pairs = pairs[(pairs < FAILED).all(axis=1)] if len(pairs) else pairs
    if loss == "cd_l1" or len(pairs) < 3:
        return ""
    difference = pairs[:, 0] - pairs[:, 1]
    return f"{difference.mean():+.2f} ± {2 * difference.std(ddof=1) / len(pairs) ** 0.5:.2f}"


def plot(found, path):
    """Mean curves of the runs that learned, one panel for each setting."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = min(4, len(found))
    rows = -(-len(found) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(5 * columns, 4 * rows), squeeze=False, layout="constrained")
    colors = plt.colormaps["tab20"]
    for axis in axes.flat[len(found) :]:
        axis.set_axis_off()
    for axis, (key, runs) in zip(axes.flat, found.items(), strict=False):
        for i, loss in enumerate(LOSSES):
            curves = [curve for curve in runs.get(loss, ()) if len(curve) > 1 and curve[-1] < FAILED]
            if curves:
                steps = np.linspace(0, key[3], len(curves[0]) + 1)[1:]
                style = {"color": colors(i % 20), "linestyle": ("-", "--", ":")[i % 3]}
                axis.plot(steps, np.mean(curves, axis=0), label=loss, **style)
        axis.set(title=f"{key[0]}, {key[1]}, {key[2]:.0%} outliers", xlabel="step", yscale="log")
        axis.set_ylabel("CD-L1 x 1000, held-out")
        # A loss that does not learn would press all others together.
        low, high = axis.get_ylim()
        axis.set_ylim(low, min(high, 6 * low))
    handles = {label: line for axis in axes.flat for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=5, fontsize=8)
    figure.savefig(path, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--losses", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--network", choices=POINTS, default="pcn")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--chunks", type=int, default=6, help="points of the curve")
    parser.add_argument("--outliers", type=float, default=0.0, help="share of the truth replaced by noise")
    parser.add_argument("--real", help="folder with real8_train.npz and real8_val.npz")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--report", action="store_true", help="print and draw what is there")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    kept = arguments.output / "runs.jsonl"
    records = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    shared = {key: getattr(arguments, key) for key in ("network", "outliers", "steps", "chunks")}
    shared["data"] = "real8" if arguments.real else "shapes8"
    jobs = [{"loss": n, "seed": s, **shared} for s in range(arguments.seeds) for n in arguments.losses]
    jobs = [job for job in jobs if not any(job.items() <= record.items() for record in records)]
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(arguments.workers, mp_context=context, initializer=one_thread)
    with pool:
        running = [] if arguments.report else [pool.submit(train, job, arguments.real) for job in jobs]
        for i, future in enumerate(concurrent.futures.as_completed(running), 1):
            records.append(future.result())
            with kept.open("a") as file:
                file.write(json.dumps(records[-1]) + "\n")
            print(f"{i}/{len(jobs)} {records[-1]['loss']} {records[-1]['curve'][-1]:.2f}", flush=True)
    found = settings(sorted(records, key=lambda record: record["seed"]))
    for key, runs in found.items():
        print(f"\n{key[0]} on {key[1]}, {key[2]:.0%} outliers, {key[3]} steps of {BATCH}\n\n{table(runs)}")
    plot(found, arguments.output / "curves.png")


if __name__ == "__main__":
    main()
