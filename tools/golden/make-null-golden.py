"""Writes test/golden/null/random-update.json and random-initialisation.json: what chance does, by drawing it.

Command, from the repository root: /usr/bin/python3 tools/golden/make-null-golden.py   (needs numpy; takes 20 seconds)

Random updates. The matrix before is rows × columns with `values` on its diagonal and zeros elsewhere: noise with
independent normal elements has the same law in every orthonormal basis, so its singular vectors do not matter. The noise
has standard deviation norm · ‖values‖ / √(rows · columns), thus an expected Frobenius norm of about `frobenius`. For each
rank k the first k singular vectors after come from LAPACK's gesdd (numpy.linalg.svd); Σ sin² θ over the k principal
angles with the first k unit vectors is the sum of the squares of their other elements, which keeps its digits however
small it is. Stored are the mean over the draws of Σ sin² θ / k and its standard error. Draws go on, in batches, until
every standard error is at most 1 % of its mean, 2 % for the largest matrices.

Random initialisations. Singular values of matrices of independent elements (standard deviation 0.02), and of matrices
whose lower half of the rows is larger by the factor `ratio`.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # sums in one order, so that a second run gives the same digits

import json
import platform
import sys
from pathlib import Path

import numpy as np

GENERATOR = "tools/golden/make-null-golden.py"
GOLDEN = Path(__file__).resolve().parents[2] / "test" / "golden"
OUT = (Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN) / "null"
SEED = 2511


def shorten(values, digits=8):
    return [float(f"{value:.{digits - 1}e}") for value in values]


# ---- random updates -----------------------------------------------------------------------------------------


def make_values(kind, rows, columns, rng):
    count = min(rows, columns)
    order = np.arange(count)
    if kind == "gaussian":
        found = np.linalg.svd(rng.normal(size=(rows, columns)), compute_uv=False) / np.sqrt(rows)
    elif kind == "power-law":
        found = (order + 1.0) ** -0.7
    elif kind == "low-rank":
        matrix = rng.normal(size=(rows, columns)) * (0.5 / np.sqrt(rows))
        matrix[np.arange(8), np.arange(8)] += np.linspace(6, 3, 8)
        found = np.linalg.svd(matrix, compute_uv=False)
    elif kind == "plateau":
        found = np.where(order < 16, 2.0, np.where(order < 48, 1.0, 0.5))
    else:
        raise ValueError(kind)
    return shorten(found)


def draw_losses(values, shape, deviation, ranks, rng):
    """Σ sin² θ / k by rank and side (left, right) of one draw."""
    matrix = rng.normal(size=shape) * deviation
    matrix[np.arange(len(values)), np.arange(len(values))] += values
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    return [[np.sum(left[k:, :k] ** 2) / k, np.sum(right[:k, k:] ** 2) / k] for k in ranks]


def make_case(seed, kind, rows, columns, norm, ranks):
    rng = np.random.default_rng([SEED, seed])
    values = make_values(kind, rows, columns, rng)
    frobenius = float(norm * np.linalg.norm(values))
    deviation = frobenius / np.sqrt(rows * columns)
    target = 0.02 if rows * columns > 30_000 else 0.01
    draws = []
    while True:
        draws += [draw_losses(values, (rows, columns), deviation, ranks, rng) for _ in range(50)]
        mean = np.mean(draws, axis=0)
        error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
        if len(draws) >= 200 and np.all(error <= target * mean):
            break
    found = [
        {
            "rank": rank,
            "left": {"mean": float(mean[i, 0]), "standardError": float(error[i, 0])},
            "right": {"mean": float(mean[i, 1]), "standardError": float(error[i, 1])},
        }
        for i, rank in enumerate(ranks)
    ]
    name = f"{rows} × {columns}, {kind}, update of {norm:g}"
    inputs = {"name": name, "rows": rows, "columns": columns, "frobenius": frobenius, "values": values}
    return {**inputs, "numDraws": len(draws), "expected": found}


CASES = [
    ("power-law", 40, 40, 1e-6, [4, 8]),
    ("gaussian", 40, 40, 0.3, [4, 16]),
    ("power-law", 40, 40, 2, [4, 8, 32]),
    ("gaussian", 96, 96, 0.03, [8, 32]),
    ("power-law", 96, 96, 0.1, [8, 32]),
    ("low-rank", 96, 96, 0.3, [4, 8, 32]),
    ("plateau", 96, 96, 0.05, [8, 16, 32]),
    ("power-law", 96, 96, 1, [8, 32]),
    ("power-law", 256, 96, 1e-6, [4, 32, 96]),
    ("gaussian", 256, 96, 0.1, [8, 32]),
    ("low-rank", 256, 96, 0.5, [8, 32, 96]),
    ("plateau", 96, 256, 1e-3, [16, 48]),
    ("power-law", 96, 256, 0.3, [8, 32, 96]),
    ("gaussian", 96, 256, 2, [4, 32]),
    ("power-law", 200, 200, 0.1, [8, 32]),
    ("gaussian", 200, 200, 0.1, [16, 64]),
    ("plateau", 200, 200, 1, [16, 32]),
]


# ---- random initialisations ---------------------------------------------------------------------------------


def make_initialisation(seed, law, rows, columns, ratio=1):
    rng = np.random.default_rng([SEED, 1000 + seed])
    if law == "normal":
        matrix = rng.normal(size=(rows, columns)) * 0.02
    else:
        matrix = rng.uniform(-1, 1, size=(rows, columns)) * (0.02 * np.sqrt(3))
    matrix[rows // 2 :] *= ratio
    values = shorten(np.linalg.svd(matrix, compute_uv=False))
    return {"law": law, "rows": rows, "columns": columns, "ratio": ratio, "values": values}


INITIALISATIONS = [
    ("normal", 1024, 1024),
    ("normal", 256, 1024),
    ("normal", 1024, 3584),
    ("uniform", 512, 512),
    ("uniform", 256, 1024),
    ("normal", 512, 512, 1.5),
    ("normal", 256, 1024, 1.5),
]


def write(name, content):
    """One line for each element of a list, so that a change shows where it is."""
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    head = {"generator": GENERATOR, "command": f"/usr/bin/python3 {GENERATOR}", "versions": versions, "seed": SEED}
    lines = []
    for key, value in {**head, **content}.items():
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        if isinstance(value, list):
            each = [json.dumps(one, allow_nan=False, ensure_ascii=False) for one in value]
            text = "[\n" + ",\n".join("  " + one for one in each) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main():
    write("random-update", {"cases": [make_case(seed, *case) for seed, case in enumerate(CASES)]})
    found = [make_initialisation(seed, *case) for seed, case in enumerate(INITIALISATIONS)]
    write("random-initialisation", {"cases": found})


if __name__ == "__main__":
    main()
