"""How every network was trained where it was published, as data; the loss itself is the user's."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from keras_wcd.models.stages import TARGETS as TARGETS
from keras_wcd.training.schedules import Constant, Exponential, Piecewise, Schedule, Staircase, WarmUp

OPTIMIZERS = ("Adam", "AdamW")
SOURCES = ("official", "ours")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
AUGMENTATIONS = ("duplicate", "mirror", "random_2048", "zero_pad")
"""duplicate: a partial cloud of fewer points is filled up with its own. mirror: both clouds across the x and z
planes at random. random_2048: as many random points of partial and truth. zero_pad: a partial cloud of fewer points
is filled up with the origin."""


@dataclass(frozen=True)
class Stage:
    """How one output of a network is supervised.

    Attributes:
        name: The output.
        weight: Of its loss: a number, or a schedule over training steps.
        target: One of `TARGETS`.
    """

    name: str
    weight: float | Schedule = 1.0
    target: str = "prefix"


@dataclass(frozen=True)
class Recipe:
    """The training of one network.

    Attributes:
        backbone: Key in `keras_wcd.models.NETWORKS`.
        schedule: Learning rate by epoch.
        stages: Supervised outputs, in the network's order.
        batch_size: Clouds in a step.
        epochs: Passes over the data, or None where `steps` are counted.
        steps: Training steps, where they are counted.
        published_loss: The stages' loss that the authors used; yours goes in its place.
        loss_scale: What the authors multiplied the sum of all terms by.
        partial_matching: Whether a one-sided term ties the last stage to the partial cloud.
        extra_terms: Further terms of the authors' loss, in words.
        repulsion: Weight of the `repulsion` of the stage "coarse".
        adversarial: Whether a discriminator is trained beside the network, as `AdversarialTraining` does it.
        network: Arguments of the network.
        optimizer: One of `OPTIMIZERS`.
        beta_1: Of the optimizer.
        beta_2: Of the optimizer.
        epsilon: Of the optimizer; PyTorch's and TensorFlow 1's value, Keras's default is 1e-7.
        weight_decay: Decoupled, AdamW's.
        decay_vectors: Whether biases and other vectors decay as well.
        restart: Whether the optimizer is made anew, its averages at zero, wherever the learning rate changes.
        ema: Share that the average of the weights over steps keeps of itself at a step, where the averaged network is
            validated and kept; 0 averages nothing.
        clip_norm: Largest norm of the whole gradient, or None.
        accumulate: Parts in which a batch goes through the network, one after the other, where it is too large for the
            memory: the step is by the gradient of the whole batch. Batch normalization sees a part at a time.
        precision: One of `PRECISIONS`: what the network computes in; weights and coordinates are always float32.
            None leaves it to Keras's own setting.
        batch_norm: Share of a new batch in batch normalization's averages by epoch (PyTorch's momentum), where it
            is scheduled; otherwise it is 0.1.
        augmentation: Names from `AUGMENTATIONS`, in order.
        source: "official" as released, "ours" where nothing was released.
        note: What the fields cannot say.
    """

    backbone: str
    schedule: Schedule
    stages: tuple[Stage, ...]
    batch_size: int
    epochs: int | None
    steps: int | None = None
    published_loss: str = "CD-L1"
    loss_scale: float = 1.0
    partial_matching: bool = False
    extra_terms: tuple[str, ...] = ()
    repulsion: float = 0.0
    adversarial: bool = False
    network: Mapping[str, Any] = field(default_factory=dict)
    optimizer: str = "Adam"
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    decay_vectors: bool = True
    restart: bool = False
    ema: float = 0.0
    clip_norm: float | None = None
    accumulate: int = 1
    precision: str | None = None
    batch_norm: Schedule | None = None
    augmentation: tuple[str, ...] = ()
    source: str = "official"
    note: str = ""

    def learning_rate(self, epoch: float) -> float:
        """Learning rate during `epoch`, counted from 0."""
        return self.schedule(epoch)

    def stage_weights(self, step: int = 0) -> tuple[float, ...]:
        """Weight of every stage's loss at a training step, for `CompletionModel.stage_weights`."""
        return tuple(s.weight(step) if isinstance(s.weight, Schedule) else s.weight for s in self.stages)

    def batch_norm_momentum(self, epoch: float) -> float:
        """Momentum of batch normalization during `epoch` as Keras counts it: the share of the old average."""
        return 0.9 if self.batch_norm is None else 1 - self.batch_norm(epoch)


def _all(*names: str, weight: float = 1.0, target: str = "prefix") -> tuple[Stage, ...]:
    return tuple(Stage(name, weight, target) for name in names)


def _rising(*starts: int) -> Piecewise:
    """The weight that PCN's first release gave its fine stage."""
    return Piecewise((0.01, 0.1, 0.5, 1.0), starts)


_POINTR_RUNNER: dict[str, Any] = {"clip_norm": 10.0, "augmentation": ("zero_pad", "mirror")}
"""What every network trained in PoinTr's repository shares."""
_HALVED: dict[str, Any] = {"factor": 0.5, "every": 50}

RECIPES: dict[str, Recipe] = {
    "foldingnet": Recipe(
        "foldingnet",
        schedule=Staircase(1e-4, **_HALVED),
        stages=_all("fine", weight=2.0, target="whole"),
        batch_size=32,
        epochs=150,
        published_loss="CD-L2",
        **_POINTR_RUNNER,
        note="PoinTr's repository; its coarse and fine outputs are one cloud, hence the weight.",
    ),
    "pcn": Recipe(
        "pcn",
        schedule=Staircase(1e-4, **_HALVED),
        stages=_all("coarse", "fine", target="whole"),
        batch_size=32,
        epochs=150,
        published_loss="CD-L2",
        **_POINTR_RUNNER,
        note="PoinTr's repository. The authors' own: CD-L1, the fine stage's weight 0.01, 0.1, 0.5, 1 from steps 0, "
        "10000, 20000, 50000, 300000 steps, 3000 input points.",
    ),
    "topnet": Recipe(
        "topnet",
        schedule=Staircase(1e-3, **_HALVED),
        stages=_all("fine", weight=2.0, target="whole"),
        batch_size=32,
        epochs=150,
        published_loss="CD-L2",
        **_POINTR_RUNNER,
        note="PoinTr's repository; its coarse and fine outputs are one cloud, hence the weight.",
    ),
    "atlasnet": Recipe(
        "atlasnet",
        schedule=Piecewise((1e-3, 1e-4, 1e-5, 1e-6), (120, 140, 145)),
        stages=_all("points", target="whole"),
        batch_size=32,
        epochs=150,
        published_loss="CD-L2",
        restart=True,
    ),
    "grnet": Recipe(
        "grnet",
        schedule=Piecewise((1e-4, 5e-5), (50,)),
        stages=_all("sparse", "dense", target="whole"),
        batch_size=32,
        epochs=150,
        published_loss="CD-L2",
        augmentation=("zero_pad", "mirror"),
        note="The release builds a gridding loss and gives it no weight. Convolutions start Kaiming-normal, dense "
        "layers normal of deviation 0.01.",
    ),
    "crn": Recipe(
        "crn",
        schedule=Constant(1e-4),
        stages=(
            Stage("coarse", 200.0, "whole"),
            *_all("fine_2048", "fine_4096", "fine_8192", weight=0.0, target="whole"),
            Stage("fine_16384", Piecewise((2.0, 20.0, 100.0, 200.0), (5000, 10000, 25000)), "whole"),
        ),
        batch_size=32,
        epochs=300,
        extra_terms=(
            "mean (D(fine) - 1)^2 of a patch discriminator D on the first 2048 points",
            "D itself: mean (D(truth) - 1)^2 / 2 + mean D(fine)^2 / 2, Adam 5e-5 with beta_1 0.5, weights clipped to "
            "0.01 either way",
        ),
        adversarial=True,
        note="The released schedule of the fine stage counts the steps of both optimizers, two per batch; here they "
        "are batches. Augmentation and decay of the learning rate are there and off by default.",
    ),
    "nsfa": Recipe(
        "nsfa",
        schedule=Constant(1e-4),
        stages=(
            Stage("coarse", 1.0, "whole"),
            Stage("coarse_highres", 0.5, "whole"),
            Stage("fine", _rising(10000, 20000, 50000), "whole"),
        ),
        batch_size=8,
        epochs=None,
        steps=1_000_000,
        extra_terms=(
            "0.2 times the repulsion of the coarse stage: mean of 0.07 - d exp(-d^2 / 0.03^2) over the 4 nearest of "
            "up to 20 points within 0.07",
        ),
        repulsion=0.2,
    ),
    "fbnet": Recipe(
        "fbnet",
        schedule=Staircase(1e-3, **_HALVED),
        stages=_all("coarse", *(f"t{cycle}_stage{i}" for cycle in range(3) for i in range(3))),
        batch_size=32,
        epochs=150,
        augmentation=("duplicate", "mirror"),
        source="ours",
        note="Only inference was released: everything here is our choice, near SnowflakeNet's.",
    ),
    "pmpnet": Recipe(
        "pmpnet",
        schedule=Piecewise((1e-3, 5e-4, 1e-4, 5e-4), (101, 151, 251)),
        stages=_all("pcd1", "pcd2", "pcd3", weight=1000.0, target="random"),
        batch_size=16,
        epochs=400,
        published_loss="CD-L2",
        extra_terms=("0.01 / 3 times the sum of squared displacements over steps, clouds and points",),
        # The network's cost is a mean over the batch's 16 clouds of 2048 points.
        network={"moving_weight": 0.01 / 3 * 16 * 2048},
        augmentation=("random_2048", "mirror"),
        note="The learning rate rises again after epoch 250, as released. The partial cloud is first filled up to "
        "16384 points with its own.",
    ),
    "pointr": Recipe(
        "pointr",
        schedule=Exponential(5e-4, 0.9, 21, floor=1e-5),
        stages=_all("coarse", "fine", target="whole"),
        batch_size=48,
        epochs=300,
        optimizer="AdamW",
        weight_decay=5e-4,
        batch_norm=Exponential(0.9, 0.5, 21, floor=0.01),
        decay_vectors=False,
        **_POINTR_RUNNER,
    ),
    "snowflakenet": Recipe(
        "snowflakenet",
        schedule=Staircase(1e-3, **_HALVED),
        stages=_all("Pc", "P1", "P2", "P3"),
        batch_size=32,
        epochs=400,
        partial_matching=True,
        augmentation=("duplicate", "mirror"),
    ),
    "pointattn": Recipe(
        "pointattn",
        schedule=Staircase(1e-4, 0.7, 40, floor=1e-6),
        stages=_all("coarse", "fine", "fine1"),
        batch_size=32,
        epochs=400,
        augmentation=("duplicate", "mirror"),
        note="The losses are averaged over the batch.",
    ),
    "seedformer": Recipe(
        "seedformer",
        schedule=WarmUp(20, Exponential(1e-3, 0.1, 150)),
        stages=_all("Pc_seeds", "P1", "P2", "P3"),
        batch_size=48,
        epochs=400,
        loss_scale=1000.0,
        partial_matching=True,
        augmentation=("duplicate", "mirror"),
        note="The weighted losses were published with this recipe. Of a partial cloud with more than 2048 points the "
        "first 2048 are taken.",
    ),
}
"""The published training of every network, on PCN's data where it was."""

SHAPENET55_RECIPES: dict[str, Recipe] = {
    "pointr": replace(
        RECIPES["pointr"],
        schedule=Exponential(5e-4, 0.76, 21, floor=1e-5),
        batch_size=96,
        epochs=200,
        augmentation=(),
        note="Partial clouds are cut while training: 2048 to 6144 of 8192 "
        "points around a random direction are left out, of the rest the 2048 farthest are taken.",
    ),
    "snowflakenet": replace(
        RECIPES["snowflakenet"],
        schedule=Exponential(5e-4, 0.9, 21, floor=1e-5),
        epochs=200,
        optimizer="AdamW",
        weight_decay=5e-4,
    ),
    "seedformer": replace(RECIPES["seedformer"], schedule=WarmUp(20, Exponential(1e-3, 0.1, 100))),
}
"""Where the authors trained on ShapeNet-55 otherwise."""
