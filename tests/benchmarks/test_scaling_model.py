"""The model of data-parallel efficiency, and the page that is written from its results."""

from __future__ import annotations

import json

import pytest

from benchmarks import scaling_model
from benchmarks._harness import RESULTS
from benchmarks.scaling_model import NETWORKS, Network, allreduce, efficiency

RESULT = json.loads((RESULTS / "scaling_model.json").read_text(encoding="utf-8"))


def test_page_is_what_the_script_writes() -> None:
    text = scaling_model.PAGE.read_text(encoding="utf-8")
    assert scaling_model.page(text, RESULT) == text, "run python -m benchmarks.scaling_model --page"


def test_allreduce_takes_the_best_algorithm() -> None:
    network = Network(1.0, 10.0)
    assert allreduce(2, 0.0, network, 0.0) == 1.0  # one exchange
    assert allreduce(1024, 0.0, network, 0.0) == 10.0  # recursive doubling
    assert allreduce(1024, 1e6, Network(0.0, 10.0), 0.0) == pytest.approx(2 * 1e5, rel=1e-2)  # twice the bytes
    assert allreduce(2, 100.0, Network(0.0, 10.0), 0.5) == pytest.approx(35.0)  # half is added on each


def test_efficiency_falls_with_ranks_and_bytes_and_rises_with_the_network() -> None:
    case = {"seconds": 0.1, "bytes": 1e7}
    networks = list(NETWORKS.values())
    shares = [[efficiency(ranks, case, network, RESULT["rates"]) for ranks in (2, 64, 1024)] for network in networks]
    for row in shares:
        assert 1 > row[0] > row[1] > row[2] > 0
    assert shares[0][0] < shares[1][0] < shares[2][0]
    assert efficiency(2, {"seconds": 0.1, "bytes": 1e6}, networks[0], RESULT["rates"]) > shares[0][0]
