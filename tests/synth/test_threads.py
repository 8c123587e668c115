import threading
import time

import pytest
import torch

from reidlab.synth.threads import in_threads


@pytest.mark.parametrize("cores", [1, 2, 3])
def test_results_come_in_order_and_torch_keeps_its_setting(cores):
    torch.set_num_threads(cores)

    def slow_first(item):
        time.sleep(0.02 if item == 0 else 0.0)
        return item * item, torch.get_num_threads()

    results = list(in_threads(slow_first, range(9)))
    assert [value for value, _ in results] == [i * i for i in range(9)]
    assert {inside for _, inside in results} == {1}
    assert torch.get_num_threads() == cores


def test_one_item_has_one_thread_too():
    torch.set_num_threads(2)
    assert list(in_threads(lambda _: torch.get_num_threads(), [0])) == [1]
    assert list(in_threads(lambda item: item, [])) == []
    assert torch.get_num_threads() == 2


def test_an_error_stops_what_has_not_begun():
    torch.set_num_threads(2)
    begun = []

    def work(item):
        begun.append(item)
        if item == 1:
            raise RuntimeError("broken")
        time.sleep(0.02)

    with pytest.raises(RuntimeError, match="broken"):
        list(in_threads(work, range(200)))
    assert len(begun) < 20
    assert torch.get_num_threads() == 2


def test_a_caller_may_stop_early():
    torch.set_num_threads(2)
    results = in_threads(lambda item: item, range(1000))
    assert next(results) == 0
    results.close()
    assert torch.get_num_threads() == 2
    assert threading.active_count() < 5


def test_new_threads_of_others_get_the_old_setting_back():
    torch.set_num_threads(2)
    list(in_threads(lambda item: item, range(4)))
    seen = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [2]
