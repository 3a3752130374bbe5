"""Clouds to train and test on: files, data sets, virtual scans. Knows no network and no loss.

Names are resolved at first use; nothing here loads a framework before `to_tf_data` does.
"""

import importlib

_HOMES = {
    "Augment": "augment",
    "Batches": "pipeline",
    "Camera": "views",
    "Cloud": "cloud",
    "Completion3D": "completion3d",
    "DATASETS": "datasets",
    "Frame": "points",
    "KITTI": "kitti",
    "MVP": "mvp",
    "Mesh": "meshes",
    "MeshFolder": "mesh_folder",
    "PCN": "pcn",
    "ShapeNet55": "shapenet55",
    "Shapes8": "shapes",
    "check_tree": "checking",
    "fps_order": "points",
    "hidden_point_removal": "hidden",
    "make_dataset": "making",
    "open_dataset": "datasets",
    "random_rotation": "views",
    "read_cloud": "formats",
    "read_points": "formats",
    "resample": "points",
    "sample_surface": "meshes",
    "scan": "views",
    "to_arrays": "pipeline",
    "write_cloud": "formats",
    "write_points": "formats",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(importlib.import_module(f"keras_wcd.data.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'keras_wcd.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
