"""`Memo`: bounded, and what is in use stays."""

import threading
from typing import Any

from tinygrad_seq.base.memo import Memo


def test_what_is_asked_for_stays_and_the_rest_goes():
    memo: Memo[Any, int] = Memo(10)
    memo.put("used", 0)
    memo.put("unused", 0)
    for n in range(100):
        memo.put(n, n)
        assert memo.get("used") == 0
        assert len(memo) <= 21
    assert memo.get("unused") is None
    assert memo.get(99) == 99


def test_values_that_grow_are_charged():
    memo: Memo[Any, Any] = Memo(10, len)
    grown = memo.put("a", [])
    for _ in range(25):
        grown.append(0)
        memo.charge(1)
    assert memo.get("a") is None
    memo.put("b", [0] * 50)
    memo.put("c", [0])
    memo.put("d", [0])
    assert memo.get("b") is not None


def test_threads_at_once():
    memo: Memo[int, int] = Memo(3)
    failed: list[Any] = []

    def work():
        for n in range(5000):
            if memo.get(n % 7) not in (None, n % 7):
                failed.append(n)
            memo.put(n % 7, n % 7)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(memo) <= 7
