import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

from keras_wcd.ops import host


def run(code):
    """What a script prints, in a process of its own: a deadlock ends with the time it is given."""
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=True
    )
    return answer.stdout


def test_jobs_come_back_in_order():
    found = host.parallel(lambda number: np.full(2, number), [(number,) for number in range(50)])
    np.testing.assert_array_equal(found, np.repeat(np.arange(50), 2).reshape(50, 2))
    assert host.parallel(lambda: 1, []) == []


@pytest.mark.parametrize("depth", [2, 3])
def test_a_job_may_have_jobs_of_its_own(depth):
    # Every thread of the pool waits for jobs that need a thread of the pool.
    printed = run(f"""
        from keras_wcd.ops import host

        def count(depth):
            return 1 if depth == 0 else sum(host.parallel(count, [(depth - 1,)] * 20))

        print(count({depth}))
    """)
    assert int(printed) == 20**depth


def test_jobs_of_several_threads_share_the_pool_and_end():
    found = {}

    def call(number):
        found[number] = host.parallel(lambda n: n * number, [(n,) for n in range(40)])

    threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {number: [n * number for n in range(40)] for number in range(8)}


def test_the_error_of_a_job_is_raised_and_the_pool_goes_on():
    with pytest.raises(ZeroDivisionError):
        host.parallel(lambda n: 1 // n, [(1,), (0,), (2,)])
    assert host.parallel(lambda n: 2 // n, [(1,), (2,)]) == [2, 1]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_no_more_threads_work_than_the_process_has_cores():
    # The machine may have any number of cores: this process is allowed one.
    assert run("""
        import os, threading
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        from keras_wcd.ops import host
        from keras_wcd.parallel import cores
        at = set()
        host.parallel(lambda n: at.add(threading.get_ident()), [(n,) for n in range(100)])
        print(cores(), len(at), os.cpu_count() >= 1)
    """).split() == ["1", "1", "True"]
