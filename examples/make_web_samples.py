"""Make the scans that the page in `export/web/` offers: procedural shapes as a depth camera sees them from one side.

    python examples/make_web_samples.py

Training draws its shapes from other seeds.
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
    "car": ("car", "sedan", (0.75, 0.5, 1.0)),
    "airplane": ("airplane", "airliner", (-0.3, 0.3, 1.0)),
    "chair": ("chair", "armchair", (0.75, 0.5, 1.0)),
    "sofa": ("sofa", "three_seater", (0.75, 0.5, 1.0)),
    "lamp": ("lamp", "table", (0.75, 0.5, 1.0)),
    "table": ("table", "desk", (0.3, 0.35, 1.0)),
}
"""Category, sub-type and where the camera stands: the front is +x, y points up."""
SEED = 1
POINTS = 1280


def sample(category: str, kind: str, side: tuple[float, float, float]) -> np.ndarray:
    """What the camera sees of a shape `(POINTS, 3)`, float32."""
    mesh = shape(np.random.default_rng(SEED), category, kind)
    seen = scan(mesh, look_from(np.array(side)), Camera().finer(2)).astype(np.float32)
    return seen[fps_order(seen, POINTS)[:POINTS]]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=pathlib.Path, default="export/web/samples")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    for name, shape_of in SHAPES.items():
        write_cloud(folder / f"{name}.ply", Cloud(sample(*shape_of)))
