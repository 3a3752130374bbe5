"""A short run by a recipe on the devices that are named: `distributed_run.py FOLDER DEVICES NAME DTYPE [KEY=JSON ...]`.

DEVICES is "none", "mirrored", "multiworker" or "data_parallel", or "backwards": one device that takes the clouds of
every batch in the opposite order, which changes nothing but rounding. The keys are fields of the recipe, or `minutes`
and `resume` of the run. Prints the loss of every step as JSON.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
REPLICAS = 2


def opened(devices):
    """The devices of a run, made before a framework computes."""
    import keras

    if devices == "none":
        return None
    if devices == "backwards":
        return backwards()
    if keras.config.backend() == "tensorflow" and devices == "mirrored":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * REPLICAS)
    from keras_wcd.training.opened import open_devices

    return open_devices(devices)


def backwards():
    from keras_wcd.training.devices import Devices

    class Backwards(Devices):
        def batches(self, batches, epoch, first):
            return (tuple(array[::-1] for array in pair) for pair in super().batches(batches, epoch, first))

    return Backwards()


def main(folder, devices, name, dtype, *settings):
    sys.path[:0] = [str(pathlib.Path(__file__).parent)]
    import keras

    keras.config.set_floatx("float64" if dtype == "float64" else "float32")
    if dtype not in ("float32", "float64"):
        keras.config.set_dtype_policy(dtype)
    devices = opened(devices)
    from recipe_runs import Pairs, reduced

    from keras_wcd.training import train
    from keras_wcd.training.loop import Position

    losses, add = [], Position.add

    def added(self, logs, pairs):
        losses.append(logs["loss"])
        add(self, logs, pairs)

    Position.add = added
    changes = {key: json.loads(value) for key, value in (text.split("=", 1) for text in settings)}
    options = {key: changes.pop(key) for key in ("minutes", "resume") if key in changes}
    recipe = reduced(name, **{"epochs": 7, **changes})
    fitted = train(recipe, dataset=Pairs(9), output=folder, loss="cd_l1", distribute=devices, progress=False, **options)
    print(json.dumps({"losses": losses, "val": fitted.history["val_cd_l1"]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
