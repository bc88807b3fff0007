"""Times the modules of benchmarks/gpu_modules.py on a GPU with JAX, which has XLA's GPU compiler without TensorFlow.

Of each module: that its logits are those that TensorFlow computed on a CPU, the time of a call whose inputs lie in
the GPU's memory, and of one whose inputs come from the host and whose logits go back. Beside them the ceilings: the
GSU's product alone, product and top_k, and how fast memory is copied.

Run where there is a GPU and JAX, nothing of this project: python benchmarks/gpu_run.py FOLDER OUT.json
(JAX 0.11.2 it was: modules are compiled by its internals.)
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.lib import _jax
from jax._src.lib import xla_client as xc

# Timestamps are int64.
jax.config.update("jax_enable_x64", True)
_ROUNDS, _CALLS = 5, 20
# Products of a GPU may be of TF32, and pairs at the edge of the K change places.
_TOLERANCE = 2e-2


def loaded(file: Path) -> Callable[..., list[Any]]:
    """An HLO module compiled for the first device: device arrays in, device arrays out."""
    device = jax.devices()[0]
    module = _jax.mlir.hlo_to_stablehlo(file.read_bytes())
    made = device.client.compile_and_load(module, xc.DeviceList((device,)), xc.CompileOptions())
    return lambda *given: made.execute(list(given))


def arrays(file: Path) -> list[np.ndarray]:
    """p0, p1, .. of a file."""
    with np.load(file) as found:
        return [found[f"p{n}"] for n in range(sum(name.startswith("p") for name in found.files))]


def seconds(call: Callable[[], Any]) -> list[float]:
    """Medians of the calls of each round, after a warm-up."""
    for _ in range(3):
        jax.block_until_ready(call())
    rounds = []
    for _ in range(_ROUNDS):
        taken = []
        for _ in range(_CALLS):
            began = time.perf_counter()
            jax.block_until_ready(call())
            taken.append(time.perf_counter() - began)
        rounds.append(statistics.median(taken))
    return rounds


def module_times(folder: Path, file: Path) -> dict[str, Any]:
    """One module."""
    way, requests = file.stem.rsplit("-", 1)
    began = time.perf_counter()
    call = loaded(file)
    compiled = time.perf_counter() - began
    host, held = arrays(file.with_suffix(".npz")), [jax.device_put(x) for x in arrays(folder / f"{way}.npz")]
    given = [jax.device_put(x) for x in host]
    with np.load(file.with_suffix(".npz")) as found:
        expected = found["logits"]
    logits = np.asarray(call(*given, *held)[0])
    error = float(np.abs(logits - expected).max() / np.abs(expected).max())
    if not error < _TOLERANCE:
        raise RuntimeError(f"{file}: logits differ from TensorFlow's by {error:.2g} of the largest one.")
    resident = seconds(lambda: call(*given, *held))
    whole = seconds(lambda: np.asarray(call(*(jax.device_put(x) for x in host), *held)[0]))
    row = {
        "way": way,
        "requests": int(requests),
        "compile_s": compiled,
        "relative_error": error,
        "resident_s": resident,
        "from_host_s": whole,
        "input_bytes": sum(x.nbytes for x in host),
    }
    print(json.dumps(row), flush=True)
    return row


def ceilings(length: int, candidates: int, top_k: int, dim: int, batches: list[int]) -> list[dict[str, Any]]:
    """The GSU's product and its top_k on vectors that are there, by batch."""
    found = []
    for requests in batches:
        keys = jax.random.normal(jax.random.key(1), (requests, length, dim), jnp.float32)
        targets = jax.random.normal(jax.random.key(2), (requests, candidates, dim), jnp.float32)
        product = jax.jit(lambda q, k: jnp.einsum("bnd,bld->bnl", q, k))
        with_top = jax.jit(lambda q, k: jax.lax.top_k(jnp.einsum("bnd,bld->bnl", q, k), top_k)[1])
        approximate = jax.jit(lambda q, k: jax.lax.approx_max_k(jnp.einsum("bnd,bld->bnl", q, k), top_k)[1])
        row = {"requests": requests}
        for name, way in (("product", product), ("product and top_k", with_top), ("approx_max_k", approximate)):
            row[name] = seconds(partial(way, targets, keys))
        found.append(row)
        print(json.dumps(row), flush=True)
    return found


def copied_bytes_s() -> float:
    """Bytes read and written a second by a copy of 1 GiB."""
    x = jnp.ones((2**28,), jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    return 2 * x.nbytes / statistics.median(seconds(lambda: copy(x)))


def main() -> None:
    """Prints a row a module and writes all."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    sizes = json.loads((folder / "sizes.json").read_text())
    found: dict[str, Any] = {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "sizes": sizes,
        "rounds": _ROUNDS,
        "calls": _CALLS,
        "copied_bytes_s": copied_bytes_s(),
    }
    files = sorted(
        folder.glob("*.hlo"), key=lambda file: (file.stem.rsplit("-", 1)[0], int(file.stem.rsplit("-", 1)[1]))
    )
    found["modules"] = [module_times(folder, file) for file in files]
    found["ceilings"] = ceilings(**sizes, batches=sorted({row["requests"] for row in found["modules"]}))
    out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
