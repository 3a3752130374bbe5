import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import tasks

from keras_wcd import parallel

posix = pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")


def numbered(count, **more):
    return [{"n": n, **more} for n in range(count)]


def answers(function, todo, **options):
    found = sorted(parallel.run(function, todo, **options))
    assert [answer.number for answer in found] == list(range(len(todo)))
    return found


def alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def ends(group, seconds=15):
    """Whether all processes of a group end in time."""
    until = time.monotonic() + seconds
    while alive(group) and time.monotonic() < until:
        time.sleep(0.05)
    if alive(group):
        os.killpg(group, signal.SIGKILL)
        return False
    return True


def waited(condition, seconds=60):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_every_task_is_answered_whatever_the_number_of_processes(workers):
    found = answers(tasks.square, numbered(20), workers=workers)
    assert [(answer.result, answer.error) for answer in found] == [(n * n, None) for n in range(20)]


def test_no_task_is_no_answer():
    assert list(parallel.run(tasks.square, [])) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_of_values_files_and_memory_come_back_as_one_line(workers):
    found = answers(tasks.fail, numbered(3), workers=workers)
    assert [answer.result for answer in found] == [None] * 3
    assert [answer.error for answer in found] == ["0 is bad", "[Errno 2] No such file", "MemoryError"]


@pytest.mark.parametrize("workers", [1, 2])
def test_other_errors_are_raised(workers):
    with pytest.raises(KeyError):
        list(parallel.run(tasks.err, numbered(4), workers=workers))


def test_a_single_worker_or_a_single_task_is_this_process():
    assert [a.result for a in answers(os.getpid, [{}] * 3, workers=1)] == [os.getpid()] * 3
    assert [a.result for a in answers(os.getpid, [{}], workers=4)] == [os.getpid()]
    assert os.getpid() not in [a.result for a in answers(os.getpid, [{}] * 3, workers=2)]


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_below_one_are_refused_before_anything_starts(workers):
    with pytest.raises(ValueError, match=f"workers must be at least 1, got {workers}"):
        parallel.run(tasks.square, numbered(3), workers=workers)


def test_processes_load_no_framework_and_use_one_core_each():
    for answer in answers(tasks.surroundings, numbered(4), workers=2):
        assert answer.result == ([], 1, 1)


def test_what_a_task_prints_does_not_reach_the_screen(capfd):
    answers(tasks.shout, numbered(4), workers=2)
    assert capfd.readouterr() == ("", "")


def test_a_bar_counts_the_tasks(capfd):
    list(parallel.run(tasks.noise, numbered(30), workers=1, desc="making", unit="shape"))
    shown = capfd.readouterr().err
    assert "making" in shown
    assert "30/30" in shown


@posix
@pytest.mark.parametrize("code", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_process_that_dies_costs_one_task_which_is_tried_again(code, tmp_path):
    found = answers(tasks.die, numbered(12, marker=str(tmp_path / "died"), code=code), workers=2)
    assert [(answer.result, answer.error) for answer in found] == [(n, None) for n in range(12)]
    assert (tmp_path / "died").exists()


@posix
def test_a_task_that_takes_two_processes_with_it_has_failed_and_the_others_go_on():
    found = answers(tasks.die, numbered(12), workers=2)
    assert found[0].result is None
    assert "SIGKILL" in found[0].error
    assert [(answer.result, answer.error) for answer in found[1:]] == [(n, None) for n in range(1, 12)]


@posix
@pytest.mark.parametrize("bad", [0, 257, 599])
def test_a_task_that_kills_takes_no_task_handed_over_with_it(bad, tmp_path):
    found = answers(tasks.die_among, numbered(600, bad=bad, folder=str(tmp_path)), workers=2)
    assert [answer.number for answer in found if answer.error] == [bad]
    assert [answer.result for answer in found] == [None if n == bad else n for n in range(600)]
    tries = [len((tmp_path / str(n)).read_text()) for n in range(600)]
    assert max(tries) <= 2
    assert tries[bad] == 2


def test_tasks_that_all_end_their_processes_fail_each_with_its_code():
    found = answers(tasks.leave, numbered(3), workers=2)
    assert ["(3)" in found[0].error, "(4)" in found[1].error, "(5)" in found[2].error] == [True] * 3


@posix
def test_a_process_killed_from_outside_loses_nothing(tmp_path):
    running = parallel.run(tasks.rest, numbered(8, folder=str(tmp_path), seconds=0.3), workers=2)
    first = next(running)
    os.kill(first.result, signal.SIGKILL)
    rest = list(running)
    assert sorted([first.number, *(answer.number for answer in rest)]) == list(range(8))
    assert all(answer.error is None for answer in rest)
    assert len({answer.result for answer in rest}) >= 2


@posix
def test_an_iterator_that_is_closed_early_stops_its_tasks_and_processes(tmp_path):
    running = parallel.run(
        tasks.rest, [{"n": n, "folder": str(tmp_path), "seconds": 60 * n} for n in range(6)], workers=2
    )
    next(running)
    waited(lambda: len(list(tmp_path.iterdir())) == 2)
    names = [path.name for path in tmp_path.iterdir()]
    start = time.monotonic()
    running.close()
    assert time.monotonic() - start < 10
    assert not list(tmp_path.iterdir())
    for name in names:
        with pytest.raises(ProcessLookupError):
            os.kill(int(name.split("-")[1]), 0)


SCRIPT = """
    import sys
    from keras_wcd import parallel

    print("started", flush=True)

    def cube(n):
        return n ** 3

    found = sorted(parallel.run(cube, [{"n": n} for n in range(6)], workers=2))
    print([answer.result for answer in found], "keras" in sys.modules)
"""


@pytest.mark.parametrize("way", ["file", "-c", "standard input"])
def test_a_script_needs_no_main_guard(way, tmp_path):
    code = textwrap.dedent(SCRIPT)
    (tmp_path / "plain.py").write_text(code)
    words = {"file": [str(tmp_path / "plain.py")], "-c": ["-c", code], "standard input": ["-"]}[way]
    given = code if way == "standard input" else None
    done = subprocess.run([sys.executable, *words], input=given, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["started", "[0, 1, 8, 27, 64, 125] False"], done.stderr
    assert done.stderr == ""


def test_an_interactive_session_may_define_its_function():
    lines = "from keras_wcd import parallel\ndef cube(n): return n ** 3\n\n"
    lines += "sorted(a.result for a in parallel.run(cube, [{'n': n} for n in range(4)], workers=2))\n"
    done = subprocess.run([sys.executable, "-i"], input=lines, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[0, 1, 8, 27]", done.stderr


ENDLESS = """
    import sys, tasks
    from keras_wcd import parallel

    todo = [{"n": n, "folder": sys.argv[1], "seconds": 600} for n in range(6)]
    print("started", flush=True)
    list(parallel.run(tasks.rest, todo, workers=3, desc="resting"))
"""


def endless(folder):
    path = os.pathsep.join([os.path.dirname(tasks.__file__), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(ENDLESS), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout.readline() == "started\n"
    return process


@posix
@pytest.mark.parametrize("delay", [0.0, 0.3, None])
def test_ctrl_c_ends_at_once_without_a_word_of_the_processes(delay, tmp_path):
    process = endless(tmp_path)
    # None: all tasks are under way; less: the processes start, or load what they need.
    time.sleep(delay) if delay is not None else waited(lambda: len(list(tmp_path.iterdir())) == 3)
    start = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert time.monotonic() - start < 20
    assert process.returncode == -signal.SIGINT
    assert ends(process.pid)
    assert not list(tmp_path.iterdir())
    assert errors.count("Traceback") == 1
    assert errors.strip().endswith("KeyboardInterrupt")


@posix
@pytest.mark.parametrize("code", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_a_caller_that_is_killed_and_put_their_files_away(code, tmp_path):
    process = endless(tmp_path)
    waited(lambda: len(list(tmp_path.iterdir())) == 3)
    os.kill(process.pid, code)
    process.communicate(timeout=60)
    assert ends(process.pid)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_cores_are_those_that_the_process_may_use(monkeypatch):
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert parallel.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= parallel.cores() <= len(allowed)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert parallel.cores() == 1


def test_arrays_come_back_as_they_were_made():
    for answer in answers(tasks.noise, numbered(6), workers=2):
        np.testing.assert_array_equal(answer.result, tasks.noise(answer.number))
