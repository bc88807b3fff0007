"""Modules for a GPU: what is written beside the HLO is what its call takes and gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu_modules
from benchmarks.random_ranker import Sizes

SIZES = Sizes(items=60, queries=20, length=24, candidates=5, dim=8, heads=2, top_k=4)


def test_a_module_lies_beside_its_inputs_its_variables_and_its_logits(tmp_path: Path) -> None:
    gpu_modules.write(tmp_path, SIZES, "fused", "", [1, 3], seed=1)
    assert {file.name for file in tmp_path.iterdir()} == {
        "fused.npz", "fused-1.hlo", "fused-1.npz", "fused-3.hlo", "fused-3.npz",
    }  # fmt: skip
    model = gpu_modules.make_model(SIZES, "fused", "", seed=1)
    for requests in (1, 3):
        assert len((tmp_path / f"fused-{requests}.hlo").read_bytes()) > 10_000
        batch = gpu_modules.request_batch(SIZES, requests, 1 + requests)
        with np.load(tmp_path / f"fused-{requests}.npz") as found:
            for n, name in enumerate(sorted(batch)):
                np.testing.assert_array_equal(found[f"p{n}"], batch[name], err_msg=name)
            assert len(found.files) == len(batch) + 1
            np.testing.assert_allclose(found["logits"], model(batch, training=False)["click"], rtol=1e-5, atol=1e-6)
    with np.load(tmp_path / "fused.npz") as held:
        # The item table as it is served: one vector an item.
        assert (SIZES.items, SIZES.dim) in {held[name].shape for name in held.files}


def test_codes_want_to_be_told_how_to_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_modules", str(tmp_path), "--tables", "codes"])
    with pytest.raises(SystemExit):
        gpu_modules.main()
