"""Training runs in processes of their own that end themselves at given places: `killed_run.py [FOLDER PLACE COUNT]...`,
one after another. Each is a fork that holds the modules alone, and its exit code is a line of the output.

PLACE is "before" or "after" the COUNT-th of the run's own files that is put into its place, "before:NAME" or
"after:NAME" the COUNT-th of that name, "within" the COUNT-th checkpoint that is written, "step" COUNT, or "none".
"""

import os
import pathlib
import signal
import sys
import traceback

OWN = {"best.keras", "checkpoint.npz", "config.json", "last.keras", "log.csv"}
"""Files that are counted; what is kept for people to look at comes between them."""


def end():
    os.kill(os.getpid(), signal.SIGKILL)


def end_at(place, count):
    """Replace functions of the system by ones that end the process at their `count`-th call."""
    import numpy as np

    replace, savez, calls = os.replace, np.savez, {"replace": 0, "savez": 0}

    moment, _, wanted = place.partition(":")

    def replaced(source, path):
        counted = os.path.basename(path) in ({wanted} if wanted else OWN)
        calls["replace"] += counted
        ends = counted and calls["replace"] == count
        if ends and moment == "before":
            end()
        replace(source, path)
        if ends and moment == "after":
            end()

    def saved(file, **arrays):
        calls["savez"] += "checkpoint" in str(getattr(file, "name", file))
        if place == "within" and calls["savez"] == count:
            file.write(b"PK\x03\x04" + bytes(1000))
            file.flush()
            end()
        savez(file, **arrays)

    os.replace, np.savez = replaced, saved


def recipe():
    """A recipe with everything that has a state: random targets, averages, schedules of all kinds, a restart."""
    import dataclasses

    from recipe_runs import reduced

    from keras_wcd.training.recipes import Stage
    from keras_wcd.training.schedules import Exponential, Piecewise

    made = reduced("pcn", epochs=3, batch_size=4, optimizer="AdamW", weight_decay=0.01, ema=0.9, restart=True)
    stages = (Stage("coarse", Piecewise((1.0, 0.5), (4,)), "random"), Stage("fine", 1.0, "prefix"))
    return dataclasses.replace(
        made,
        stages=stages,
        schedule=Piecewise((1e-3, 5e-4), (1,)),
        batch_norm=Exponential(0.9, 0.5, 1),
        augmentation=("duplicate", "mirror"),
    )


def run(folder, place, count):
    from recipe_runs import Pairs

    from keras_wcd.training import train

    if place == "step":
        from keras_wcd.training.loop import Position

        add = Position.add

        def added(self, logs, pairs):
            # Weights have moved on, and nothing is written.
            if self.step + 1 == count:
                end()
            add(self, logs, pairs)

        Position.add = added
    end_at(place, count)
    minutes = float(os.environ.get("MINUTES", "0"))
    train(recipe(), dataset=Pairs(), output=folder, loss="cd_l1", resume=True, minutes=minutes, progress=False)


def code(folder, place, count):
    """The exit code of a run in a fork, negative where a signal ended it."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        run(folder, place, count)
        sys.stdout.flush()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def main(*words):
    sys.path[:0] = [str(pathlib.Path(__file__).parent)]
    # Threads of the framework, which do not outlive a fork, start with the first tensor, not with the import.
    import recipe_runs  # noqa: F401

    from keras_wcd.training import train  # noqa: F401

    for folder, place, count in zip(words[::3], words[1::3], words[2::3], strict=True):
        print(code(folder, place, int(count)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
