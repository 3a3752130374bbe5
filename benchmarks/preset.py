"""The preset that ships on real shapes: python benchmarks/preset.py FILE.npz [--model default] [-o runs/preset]

FILE holds `complete` (S, M, 3), `partial` (S, V, N, 3) and `category` (S,), in PCN's frame, as real8_val.npz does.
Prints CD-L1 x 1000 at 2048 points (a random subset of the truth) by category beside the scan and the scan with its
mirror image, then for scans whose pose is not the canonical one: framed by the scan alone, turned about up, turned at
random.
"""

import argparse

import numpy as np
from scipy.spatial.transform import Rotation

from keras_wcd.data.contract import PairDataset, Sample
from keras_wcd.evaluation import evaluate
from keras_wcd.models import CompletionModel

POINTS = 2048


class Pairs(PairDataset):
    """The pairs of an .npz file, each turned by a rotation that `turn` draws."""

    splits = ("test",)

    def __init__(self, path, turn=None):
        stored = np.load(path, allow_pickle=False)
        self.complete, self.partial, self.category = (stored[key] for key in ("complete", "partial", "category"))
        # What PCN calls a sofa.
        self.category = np.where(self.category == "couch", "sofa", self.category)
        self.categories = tuple(sorted(set(map(str, self.category))))
        self.turn = turn

    def size(self, split):
        return self.partial.shape[0] * self.partial.shape[1]

    def load(self, split, index):
        shape, view = divmod(index, self.partial.shape[1])
        rng = np.random.default_rng(index)
        truth = self.complete[shape].astype(np.float32)
        truth = truth[np.random.default_rng(shape).permutation(len(truth))[:POINTS]]
        scan = self.partial[shape, view].astype(np.float32)
        if self.turn is not None:
            matrix = self.turn(rng).as_matrix().astype(np.float32).T
            scan, truth = scan @ matrix, truth @ matrix
        return Sample(scan, truth, str(self.category[shape]), f"{shape:03d}/{view}")


def about_up(degrees):
    return lambda rng: Rotation.from_euler("y", rng.uniform(-degrees, degrees), degrees=True)


def in_its_own_frame(model):
    """Completions of scans whose frame is estimated from the scan, as `complete` does by default."""
    return lambda scans: np.stack([model.complete(scan, "partial") for scan in scans])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--model", default="default")
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    model = CompletionModel.from_preset(arguments.model)
    plain = Pairs(arguments.data)
    print(f"{model.count_params()} weights\n")
    print(evaluate(model, plain, baselines=True, batch_size=29, output=arguments.output, progress=False).table())
    poses = {
        "canonical pose": (model, plain),
        "frame from the scan": (in_its_own_frame(model), plain),
        "turned up to 10 degrees about up": (model, Pairs(arguments.data, about_up(10))),
        "turned up to 30 degrees about up": (model, Pairs(arguments.data, about_up(30))),
        "turned at will about up": (model, Pairs(arguments.data, about_up(180))),
        "turned at will": (model, Pairs(arguments.data, lambda rng: Rotation.random(random_state=rng))),
    }
    print("\n| pose | CD-L1 x 1000, mean over samples |\n|---|---|")
    for name, (answer, data) in poses.items():
        found = evaluate(answer, data, metrics=("cd_l1",), batch_size=29, progress=False)
        print(f"| {name} | {found.sample_mean('cd_l1'):.2f} |", flush=True)


if __name__ == "__main__":
    main()
