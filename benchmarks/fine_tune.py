"""Fine-tune the preset on real shapes: python benchmarks/fine_tune.py TRAIN.npz TEST.npz [--epochs 20] [--ways ...]

The files are as benchmarks/preset.py takes them. Ways: `known` trains on pairs in the frame of the whole shape, `scan`
on pairs in the frame that `complete` estimates from the scan, `half` on half real and half made-up pairs in the frame
of the scan. A tenth of the training shapes is kept for validation, which chooses the epoch. Prints CD-L1 x 1000 at 2048
points on the test file before and after: in the known frame, and as `complete` does it from the scan alone.
"""

import argparse
import time

import keras
import numpy as np
from preset import POINTS, Pairs, in_its_own_frame

from keras_wcd import frames
from keras_wcd.data import Augment, Shapes8
from keras_wcd.data.contract import Sample
from keras_wcd.data.datasets.base import Dataset
from keras_wcd.evaluation import evaluate
from keras_wcd.losses import LandauCD
from keras_wcd.models import CompletionModel
from keras_wcd.training import fit
from keras_wcd.training.callbacks import AveragedCheckpoint

AUGMENT = Augment(mirror=True, rotate_up=10, scale=(0.9, 1.1), jitter=0.002, drop=0.2, stretch=1.15)
WAYS = ("known", "scan", "half")


class Real(Dataset):
    """Pairs of an .npz file, every tenth shape for validation, in one of two frames; made-up ones beside them."""

    frame = "box"

    def __init__(self, path, by_scan, made_up=None):
        stored = np.load(path, allow_pickle=False)
        self.complete, self.partial = stored["complete"].astype(np.float32), stored["partial"].astype(np.float32)
        held = np.arange(len(self.complete)) % 10 == 9
        views = range(self.partial.shape[1])
        chosen = {"train": ~held, "val": held}
        self.pairs = {name: [(s, v) for s in np.flatnonzero(rows) for v in views] for name, rows in chosen.items()}
        self.by_scan, self.made_up = by_scan, made_up
        self.categories = ("real",)

    def size(self, split):
        count = len(self.pairs[split])
        return 2 * count if self.made_up and split == "train" else count

    def load(self, split, index):
        if index >= len(self.pairs[split]):
            sample = self.made_up.load("train", index - len(self.pairs[split]))
            scan, truth = sample.partial, sample.complete
        else:
            shape, view = self.pairs[split][index]
            scan, truth = self.partial[shape, view], self.complete[shape]
            truth = truth[np.random.default_rng(shape).permutation(len(truth))[:POINTS]]
        if self.by_scan:
            frame = frames.frame_of(scan, "partial")
            scan, truth = frame.apply(scan), frame.apply(truth)
        return Sample(scan.astype(np.float32), truth.astype(np.float32), "real", str(index))


def measured(model, path):
    known = evaluate(model, Pairs(path), metrics=("cd_l1",), batch_size=29, progress=False)
    alone = evaluate(in_its_own_frame(model), Pairs(path), metrics=("cd_l1",), batch_size=29, progress=False)
    return known.sample_mean("cd_l1"), alone.sample_mean("cd_l1")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("-o", "--output", default="runs/fine_tune")
    arguments = parser.parse_args()
    print("| | known frame | from the scan | minutes |\n|---|---|---|---|")
    print("| preset | {:.2f} | {:.2f} | |".format(*measured(CompletionModel.from_preset("default"), arguments.test)))
    for way in arguments.ways:
        keras.utils.set_random_seed(0)
        start = time.monotonic()
        made_up = Shapes8(train=400) if way == "half" else None
        data = Real(arguments.train, way != "known", made_up)
        options = {"epochs": arguments.epochs, "learning_rate": arguments.learning_rate, "batch_size": 8}
        folder = f"{arguments.output}/{way}"
        model = CompletionModel.from_preset("default")
        options["optimizer"] = keras.optimizers.Adam(use_ema=True, ema_momentum=0.995, ema_overwrite_frequency=None)
        options["checkpoint"] = AveragedCheckpoint(f"{folder}/best.keras")
        fit(model, data, LandauCD(), augment=AUGMENT, output=folder, overwrite=True, progress=False, **options)
        minutes = (time.monotonic() - start) / 60
        best = keras.saving.load_model(f"{folder}/best.keras")
        print("| {} | {:.2f} | {:.2f} | {:.1f} |".format(way, *measured(best, arguments.test), minutes), flush=True)


if __name__ == "__main__":
    main()
