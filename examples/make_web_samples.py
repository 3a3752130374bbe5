"""Make the scans that the page in `export/web/` offers: procedural shapes as a depth camera sees them from one side.

    python examples/make_web_samples.py

They are shapes of the test split's seed, which no network was trained on.
"""

import argparse
import pathlib

import numpy as np

from keras_wcd.data.io.cloud import Cloud
from keras_wcd.data.io.formats import write_cloud
from keras_wcd.data.procedural.generator import shape
from keras_wcd.data.resampling import fps_order
from keras_wcd.data.scanner.camera import Camera
from keras_wcd.data.scanner.depth_camera import look_from, scan

SHAPES = {
    "chair": ("chair", "chair", 7),
    "airplane": ("airplane", "airliner", 3),
    "car": ("car", "sedan", 5),
    "lamp": ("lamp", "table", 4),
    "sofa": ("sofa", "three_seater", 2),
    "table": ("table", "pedestal", 6),
}
"""Category, sub-type and seed of every sample."""
SIDE = (1.0, 0.55, 0.8)
"""Where the camera stands: the front is +x, y points up."""
POINTS = 1280


def sample(category: str, kind: str, seed: int) -> np.ndarray:
    """What the camera sees of a shape `(POINTS, 3)`, float32."""
    mesh = shape(np.random.default_rng(seed), category, kind)
    seen = scan(mesh, look_from(np.array(SIDE)), Camera().finer(2)).astype(np.float32)
    return seen[fps_order(seen, POINTS)[:POINTS]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=pathlib.Path, default="export/web/samples")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for name, shape_of in SHAPES.items():
        write_cloud(folder / f"{name}.ply", Cloud(sample(*shape_of)))
