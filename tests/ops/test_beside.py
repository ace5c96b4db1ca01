"""Two halves at once: the same values, the same threads afterwards, no exception lost."""

import os
import threading

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from oddframe.ops.beside import beside, splits


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def squares(x, count=4):
    """Says which thread made each value, and with how many threads."""
    for i in range(count):
        yield float(i * i * x), threading.get_ident(), torch.get_num_threads()


def collected(x):
    with beside(squares(x), x) as values:
        inside = torch.get_num_threads()
        return list(values), inside


def test_values_arrive_in_order_from_another_thread():
    with torch.inference_mode():
        values, inside = collected(torch.tensor(2.0))
    assert [v for v, *_ in values] == [0, 2, 8, 18]
    assert threading.get_ident() not in {thread for _, thread, _ in values}
    assert {threads for *_, threads in values} == {inside} == {1}
    assert torch.get_num_threads() == 2


def test_the_other_half_has_the_same_mode():
    def modes():
        yield torch.is_inference_mode_enabled(), torch.is_grad_enabled()

    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            want = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
            with beside(modes(), torch.ones(1)) as found:
                assert list(found) == [want]


@pytest.mark.parametrize("why", ["gradient", "one thread", "three", "counter", "autocast", "meta"])
def test_one_after_another_where_it_cannot_be_split(why):
    x = torch.tensor(1.0, device="meta" if why == "meta" else "cpu")
    if why in ("one thread", "three"):
        torch.set_num_threads(1 if why == "one thread" else 3)
    before = torch.get_num_threads()
    with (
        torch.set_grad_enabled(why == "gradient"),
        FlopCounterMode(display=False) if why == "counter" else torch.no_grad(),
        torch.autocast("cpu", torch.bfloat16, enabled=why == "autocast"),
        torch.set_grad_enabled(why == "gradient"),
    ):
        assert not splits(x)
        with beside(iter([threading.get_ident()]), x) as values:
            assert torch.get_num_threads() == before
            assert list(values) == [threading.get_ident()]


def test_an_exception_of_the_other_half_arrives_in_its_place():
    def broken():
        yield 1
        raise RuntimeError("half way")

    found = []
    whole = pytest.raises(RuntimeError, match="half way")
    with torch.no_grad(), whole, beside(broken(), torch.ones(1)) as values:
        found.extend(values)
    assert found == [1]
    assert torch.get_num_threads() == 2


def test_an_exception_of_the_body_waits_for_the_other_half():
    done = []

    def slow():
        yield 1
        threading.Event().wait(0.05)
        done.append(True)

    with torch.no_grad(), pytest.raises(KeyError), beside(slow(), torch.ones(1)):
        raise KeyError("body")
    assert done == [True]
    assert torch.get_num_threads() == 2


def test_several_callers_share_the_second_thread():
    found = {}

    def caller(i):
        torch.set_num_threads(2)
        with torch.no_grad():
            for _ in range(20):
                found[i] = [v for v, *_ in collected(torch.tensor(float(i)))[0]]

    threads = [threading.Thread(target=caller, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {i: [0, i, 4 * i, 9 * i] for i in range(4)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_has_a_thread_of_its_own():
    with torch.no_grad():
        collected(torch.ones(()))  # the parent's exists
        pid = os.fork()
        if pid == 0:
            values, _ = collected(torch.tensor(3.0))
            os._exit(0 if [v for v, *_ in values] == [0, 3, 12, 27] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
