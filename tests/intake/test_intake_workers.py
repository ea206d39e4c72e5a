"""Worker processes that may crash, hang or eat memory. `eval` stands for a decoder: its items say what it does."""

import pytest

from cxrlib.intake.workers import Lost, run_isolated


def test_results_of_all_items_come_back_once():
    assert sorted(run_isolated(eval, (f"{n} ** 2" for n in range(50)), 10, workers=3)) == sorted(
        (f"{n} ** 2", n**2) for n in range(50)
    )


def test_nothing_to_do_starts_nothing():
    assert list(run_isolated(eval, [], 10)) == []


def test_a_crash_or_a_hang_costs_one_item():
    crash, leave, hang = "__import__('os').abort()", "__import__('os')._exit(0)", "__import__('time').sleep(60)"
    results = dict(run_isolated(eval, ["1", crash, "2", leave, hang, "3", "4", "5"], 1, workers=2))
    assert {item: results[item] for item in "12345"} == {item: int(item) for item in "12345"}
    assert results[crash] == Lost(slow=False, detail="the decoder crashed (exit code -6)")
    assert results[leave] == Lost(slow=False, detail="the decoder crashed (exit code 0)")
    assert results[hang] == Lost(slow=True, detail="took longer than 1 s")


def test_an_exception_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        list(run_isolated(eval, ["1", "1 / 0", "2"], 10))


def test_memory_has_a_limit():
    with pytest.raises(MemoryError):
        list(run_isolated(eval, ["bytearray(8 * 2 ** 30)"], 10))


def test_workers_are_silent(capfd):
    chatter = "(print('name'), __import__('os').write(2, b'name'), __import__('warnings').warn('name'))"
    assert len(list(run_isolated(eval, [chatter], 10))) == 1
    assert capfd.readouterr() == ("", "")
