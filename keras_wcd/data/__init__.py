"""Clouds to train and test on: files, data sets, virtual scans. Knows no network and no loss.

Names are resolved at first use; nothing here loads a framework before `to_tf_data` does.
"""

import importlib

_HOMES = {
    "Augment": "augment",
    "Batches": "pipeline.batches",
    "Camera": "scanner.camera",
    "Cloud": "io.cloud",
    "Completion3D": "datasets.completion3d",
    "DATASETS": "datasets.table",
    "Frame": "resampling",
    "KITTI": "datasets.kitti",
    "MVP": "datasets.mvp",
    "Mesh": "io.mesh",
    "MeshFolder": "datasets.mesh_folder",
    "PCN": "datasets.pcn",
    "ShapeNet55": "datasets.shapenet55",
    "Shapes8": "datasets.shapes8",
    "check_tree": "datasets.check",
    "fps_order": "resampling",
    "hidden_point_removal": "scanner.hidden_points",
    "make_dataset": "from_meshes.make",
    "open_dataset": "datasets.table",
    "random_rotation": "scanner.depth_camera",
    "read_cloud": "io.formats",
    "read_points": "io.formats",
    "resample": "resampling",
    "sample_surface": "io.mesh",
    "scan": "scanner.depth_camera",
    "to_arrays": "pipeline.batches",
    "write_cloud": "io.formats",
    "write_points": "io.formats",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"keras_wcd.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'keras_wcd.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
