"""The NumPy side of the spectra benchmark, and the truth that both sides are held to. Leaves out making the matrices
(bench/measure-spectra.ts does that, with BEFORE.bf16 and AFTER.bf16 in a folder).

reference: what studies of fine-tuning do: full SVDs in float32 of the weights before, after, and of the update, then
    principal angles of the leading subspaces by arccosine. Also measured: the update's SVD without vectors, a kinder
    reference, as nothing needs them.
truth: the same in float64; angles by sine and cosine (scipy.linalg.subspace_angles 1.10 is wrong where small and large
    angles mix).
describe: which NumPy on which BLAS.

Run: OPENBLAS_NUM_THREADS=2 /usr/bin/python3 bench/numpy_spectra.py TASK [FOLDER ROWS COLUMNS RANK]
"""

import argparse
import ctypes
import json
import os
import resource
import sys
import time

import numpy as np


def describe():
    """The version of NumPy, and the BLAS it has loaded."""
    np.linalg.svd(np.eye(2))
    try:
        with open("/proc/self/maps", encoding="utf8") as maps:
            paths = sorted({line.split()[-1] for line in maps if ".so" in line})
    except OSError:
        paths = []
    path = next((path for path in paths if "openblas" in os.path.basename(path)), None)
    path = path or next((path for path in paths if "blas" in os.path.basename(path)), "unknown BLAS")
    blas = path
    try:
        config = ctypes.CDLL(path).openblas_get_config
        config.restype = ctypes.c_char_p
        blas = f"{' '.join(config().decode().split()[:2])} ({path})"
    except (OSError, AttributeError):
        pass
    return {"numpy": np.__version__, "blas": blas}


def read(options, name):
    """A bf16 matrix, widened to float32, which is exact."""
    halves = np.fromfile(os.path.join(options.folder, f"{name}.bf16"), dtype=np.uint16)
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(options.rows, options.columns)


def write(options, side, results):
    place = os.path.join(options.folder, side)
    os.makedirs(place, exist_ok=True)
    for name, values in results.items():
        np.ascontiguousarray(values, dtype=np.float64).tofile(os.path.join(place, f"{name}.f64"))


def peak_kilobytes():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def angles_by_cosine(first, second):
    """Angles between two spans as the studies take them, ascending."""
    cosines = np.linalg.svd(first.T @ second, compute_uv=False)
    return np.arccos(np.clip(cosines, -1, 1))


def angles_by_both(first, second):
    """The same from sines and cosines: each is accurate where the other is not."""
    overlap = first.T @ second
    cosines = np.linalg.svd(overlap, compute_uv=False)
    sines = np.linalg.svd(second - first @ overlap, compute_uv=False)[::-1]
    return np.sort(np.arctan2(sines, cosines))


def reference(options):
    seconds = {}

    def timed(stage, work):
        start = time.perf_counter()
        value = work()
        seconds[stage] = time.perf_counter() - start
        return value

    before, after = read(options, "before"), read(options, "after")
    np.linalg.svd(np.random.default_rng(1).standard_normal((256, 256), dtype=np.float32))
    k = options.rank
    u0, s0, vt0 = timed("before", lambda: np.linalg.svd(before, full_matrices=False))
    u1, s1, vt1 = timed("after", lambda: np.linalg.svd(after, full_matrices=False))
    values = timed("update", lambda: np.linalg.svd(after - before, full_matrices=False)[1])
    left, right = timed(
        "angles",
        lambda: (angles_by_cosine(u0[:, :k], u1[:, :k]), angles_by_cosine(vt0[:k].T, vt1[:k].T)),
    )
    peak = peak_kilobytes()
    timed("updateValues", lambda: np.linalg.svd(after - before, compute_uv=False))
    write(options, "numpy", {"before": s0, "after": s1, "update": values, "left": left, "right": right})
    return {"seconds": seconds, "peak": peak}


def truth(options):
    before, after = (read(options, name).astype(np.float64) for name in ("before", "after"))
    k = options.rank
    update = np.linalg.svd(after - before, compute_uv=False)
    size = np.sqrt(np.sum(update**2)) / np.linalg.norm(before)

    def leading(matrix):
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        return u[:, :k].copy(), s, vt[:k].T.copy()

    (u0, s0, v0), (u1, s1, v1) = leading(before), leading(after)
    left, right = angles_by_both(u0, u1), angles_by_both(v0, v1)
    write(options, "truth", {"before": s0, "after": s1, "update": update, "left": left, "right": right})
    gap = min((s[k - 1] - s[k]) / s[0] for s in (s0, s1)) if k < len(s0) else 1.0
    return {"relativeSize": size, "gap": gap, "smallest": s0[-1] / s0[0]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=["describe", "reference", "truth"])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("rows", type=int, nargs="?")
    parser.add_argument("columns", type=int, nargs="?")
    parser.add_argument("rank", type=int, nargs="?")
    options = parser.parse_args()
    tasks = {"describe": lambda _: describe(), "reference": reference, "truth": truth}
    print(json.dumps(tasks[options.task](options)))


if __name__ == "__main__":
    main()
