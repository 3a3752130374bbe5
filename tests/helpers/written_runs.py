"""Folders of runs, written as `train` and `fit` leave them, without training."""

import csv
import json
import zipfile

RECIPE = {"backbone": "pcn", "epochs": 4, "steps": None, "batch_size": 4, "stages": [{"name": "fine", "weight": 1.0}]}


def write_run(folder, *, val=(30.0, 20.0, 25.0, 22.0), recipe=None, config=True, last=True, **more):
    """A folder with the log of as many epochs as `val` has figures."""
    folder.mkdir(parents=True)
    if config:
        whole = {
            "recipe": {**RECIPE, **(recipe or {})},
            "loss": {"class_name": "HyperCD", "config": {"name": "hyper_cd", "alpha": 1000.0}},
            "loss title": "hyper_cd(alpha=1000.0)",
            "data": {"title": "Shapes8", "train size": 18, "val size": 5},
            "changed": {"from": "small", "values": {"epochs": 4, "network.encoder": [8, 16]}},
            "seed": 0,
            "versions": {"keras": "3.15.1"},
            **more,
        }
        (folder / "config.json").write_text(json.dumps(whole))
    if val:
        with open(folder / "log.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", "loss", "cd_l1", "val_loss", "val_cd_l1"])
            writer.writerows([i, 1.0, v, v, v] for i, v in enumerate(val))
    if last:
        (folder / "last.keras").write_bytes(b"")
    return folder


def write_network(path, network="PCN", loss="landau_cd"):
    """A `.keras` file as far as its configuration goes."""
    compiled = {"loss": {"class_name": "LandauCD", "config": {"name": loss}}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": network, "compile_config": compiled}))
