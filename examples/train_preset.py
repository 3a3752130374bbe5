"""Train the preset that ships: python examples/train_preset.py [-o models/preset-default] [--run runs/preset]

MirrorNet with LandauCD on made-up shapes alone: no real shape is used, also not to choose the epoch. The average of the
weights over steps is kept. About 50 minutes on two cores.
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from keras_wcd.data import Augment, Shapes8
from keras_wcd.losses import LandauCD
from keras_wcd.models import MirrorNet
from keras_wcd.training import fit
from keras_wcd.training.callbacks import AveragedCheckpoint

# Sizes, turns and places that a frame estimated from a scan is off by, and proportions the generator lacks.
AUGMENT = Augment(mirror=True, rotate_up=10, scale=(0.92, 1.08), stretch=1.12, shift=0.01)
DECAY = 0.995


def train_preset(output, run, *, shapes=12288, epochs=8, seed=0, overwrite=False):
    """The smallest validation CD-L1 x 1000; the preset is in `output`, the log and the last weights in `run`."""
    keras.utils.set_random_seed(seed)
    average = {"use_ema": True, "ema_momentum": DECAY, "ema_overwrite_frequency": None}
    fitted = fit(
        MirrorNet(),
        Shapes8(shapes, 160, 160, seed=seed),
        LandauCD(),
        epochs=epochs,
        batch_size=8,
        learning_rate=8e-4,
        optimizer=keras.optimizers.Adam(**average),
        augment=AUGMENT,
        checkpoint=AveragedCheckpoint(output, save=lambda model, path: model.save_to_preset(path)),
        output=run,
        overwrite=overwrite,
        seed=seed,
    )
    return fitted.best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", default="models/preset-default", help="folder of the preset")
    parser.add_argument("--run", default="runs/preset", help="folder of the run")
    parser.add_argument("--shapes", type=int, default=12288)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run")
    arguments = vars(parser.parse_args())
    output, began = pathlib.Path(arguments["output"]), time.perf_counter()
    best = train_preset(arguments.pop("output"), arguments.pop("run"), **arguments)
    minutes = (time.perf_counter() - began) / 60
    size = sum(file.stat().st_size for file in output.iterdir()) / 2**20
    print(f"{output}: {size:.1f} MB, CD-L1 x 1000 on made-up shapes {best:.2f}, {minutes:.0f} minutes")


if __name__ == "__main__":
    main()
