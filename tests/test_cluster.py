"""A Dask scheduler and two workers as processes of their own, as a cluster has them."""

import itertools
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tasks
from click.testing import CliRunner
from meshes import tree, write_meshes

from keras_wcd import parallel
from keras_wcd.cli import main
from keras_wcd.data import PCN, Shapes8, make_dataset, to_arrays
from keras_wcd.parallel import machines

pytest.importorskip("distributed", reason="the extra `cluster` (Dask) is not installed")
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
SMALL = {"views": 2, "points": 512, "progress": False}


class Cluster:
    """A scheduler and its workers on the loopback interface; a worker that is killed is replaced."""

    def __init__(self, folder, workers=2):
        self.folder, self.file, self.workers = folder, folder / "scheduler.json", workers
        path = os.pathsep.join([os.path.dirname(tasks.__file__), os.environ.get("PYTHONPATH", "")])
        # A scheduler that gives up all tasks of a worker that dies, those that waited too.
        self.environment = {**os.environ, "PYTHONPATH": path, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
        self.names, self.processes = itertools.count(), []

    def __enter__(self):
        try:
            self.start_all()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def start_all(self):
        self.start("dask_scheduler", "--port", "0", "--scheduler-file", str(self.file))
        until = time.monotonic() + 60
        while not (self.file.exists() and self.file.read_text().endswith("}")):
            assert time.monotonic() < until
            time.sleep(0.05)
        self.address = json.loads(self.file.read_text())["address"]
        for _ in range(self.workers):
            self.start_worker()

    def start(self, module, *words):
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--host", "127.0.0.1", "--no-dashboard", *words]
        self.processes.append(subprocess.Popen(command, cwd=self.folder, env=self.environment, **QUIET))

    def start_worker(self):
        name = f"worker-{next(self.names)}"
        self.start(
            "dask_worker", self.address, "--nthreads", "1", "--no-nanny", "--name", name, "--local-directory", name
        )

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KERAS_WCD_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("place", ["address", "file"])
def test_tasks_are_done_by_the_workers(place, cluster):
    found = sorted(parallel.run(os.getpid, [{}] * 20, cluster=str(getattr(cluster, place))))
    assert [answer.number for answer in found] == list(range(20))
    assert {answer.result for answer in found} <= {process.pid for process in cluster.processes}
    assert not parallel.clustered()
    arrays = parallel.results(tasks.noise, [{"n": n} for n in range(6)], cluster=cluster.address)
    np.testing.assert_array_equal(arrays, [tasks.noise(n) for n in range(6)])


def test_errors_are_those_of_one_machine(cluster):
    found = sorted(parallel.run(tasks.fail, [{"n": n} for n in range(3)], cluster=cluster.address))
    assert [answer.error for answer in found] == ["0 is bad", "[Errno 2] No such file", "MemoryError"]
    with pytest.raises(KeyError):
        list(parallel.run(tasks.err, [{"n": n} for n in range(3)], cluster=cluster.address))


def test_a_worker_killed_in_the_middle_loses_nothing(cluster, tmp_path):
    running = parallel.run(tasks.noise, [{"n": n} for n in range(60)], cluster=cluster.address)
    found = [next(running)]
    cluster.processes[-1].kill()
    cluster.start_worker()
    found += running
    assert sorted(answer.number for answer in found) == list(range(60))
    for answer in found:
        np.testing.assert_array_equal(answer.result, tasks.noise(answer.number))


def test_a_task_that_takes_worker_after_worker_with_it_has_failed_and_the_others_go_on(cluster):
    for _ in range(2):
        cluster.start_worker()
    found = sorted(parallel.run(tasks.die, [{"n": n} for n in range(6)], cluster=cluster.address))
    assert "ended, one after the other" in found[0].error
    assert [(answer.result, answer.error) for answer in found[1:]] == [(n, None) for n in range(1, 6)]


def test_scores_are_those_of_one_machine(cluster, monkeypatch):
    from keras_wcd.evaluation import evaluate
    from keras_wcd.ops import host

    data = Shapes8(1, 1, 6, num_points=300, workers=1)
    options = {"metrics": ("cd_l1", "emd"), "baselines": True, "progress": False}
    here = evaluate(tasks.shrink, data, **options)
    monkeypatch.setattr(host, "parallel", None)
    there = evaluate(tasks.shrink, data, cluster=cluster.address, **options)
    assert here == there


def test_shapes_are_the_same_bytes_as_those_of_one_process(cluster, tmp_path):
    sizes = {"train": 20, "views": 2}
    here = Shapes8(**sizes, cache_dir=tmp_path / "here", workers=1).arrays("train")
    there = Shapes8(**sizes, cache_dir=tmp_path / "there", cluster=cluster.address).arrays("train")
    for one, two in zip(here, there, strict=True):
        np.testing.assert_array_equal(one, two)


def test_data_made_of_meshes_and_their_order_are_the_same_bytes_as_those_of_one_process(cluster, tmp_path, monkeypatch):
    write_meshes(tmp_path / "meshes")
    monkeypatch.chdir(tmp_path)  # The workers stand elsewhere: names must not depend on the folder.
    make_dataset("meshes", "here", workers=1, **SMALL)
    words = ["data", "make", "meshes", "-o", "there", "--views", "2", "--points", "512", "--cluster", cluster.address]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert tree(tmp_path / "here") == tree(tmp_path / "there")

    data = PCN(tmp_path / "here", views="all")
    expected = to_arrays(data, "train", cache_dir=tmp_path / "kept")
    with parallel.on_cluster(cluster.address):
        found = to_arrays(data, "train", cache_dir=tmp_path / "kept there")
    for one, two in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, two)
    assert tree(tmp_path / "kept") == tree(tmp_path / "kept there")


def test_ordering_is_done_by_the_workers(cluster, tmp_path):
    from keras_wcd.data.pipeline.store import Store

    # A file made here would hold the number of this process.
    store = Store(tmp_path, "pid", ["a", "b", "c"], tasks.who, rows=1)
    with parallel.on_cluster(cluster.address):
        store.prepare(1, progress=False)
    assert {store[number][0, 0] for number in range(3)} <= {process.pid for process in cluster.processes}


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "127.0.0.1:1", "nonsense", "/no/such/scheduler.json"])
def test_a_scheduler_that_does_not_answer_is_named_soon(address, tmp_path, monkeypatch):
    assert machines._REACH <= 10
    monkeypatch.setattr(machines, "_REACH", 0.5)
    with pytest.raises(ConnectionError, match=f"cluster {address}"):
        list(parallel.run(tasks.square, [{"n": 1}], cluster=address))
    write_meshes(tmp_path / "meshes", 1)
    words = ["data", "make", str(tmp_path / "meshes"), "-o", str(tmp_path / "out"), "--cluster", address]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert result.output.startswith(f"Error: cluster {address}")
    assert not (tmp_path / "out").exists()


def test_a_scheduler_without_workers_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "_REACH", 2.0)
    with Cluster(tmp_path, workers=0) as empty, pytest.raises(ConnectionError, match="no workers"):
        list(parallel.run(tasks.square, [{"n": 1}], cluster=empty.address))


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=r"keras-wcd\[cluster\]"), parallel.on_cluster("tcp://127.0.0.1:1"):
        pass
