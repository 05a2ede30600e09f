"""Writes test/golden/surgery/surgery.json: what NumPy makes of a weight matrix edited with the help of another.

Command, from the repository root: /usr/bin/python3 tools/golden/make-surgery-golden.py   (needs numpy; takes a second)

Inputs. Each case has a target W_t and a source W_s of the same shape, r = min(rows, columns), stored row after row and
rounded to 9 significant digits before anything is computed, so that the stored numbers are the exact inputs. Singular
vectors come from LAPACK's gesdd (numpy.linalg.svd), largest value first: W = Σ σ_i u_i v_iᵀ. In both matrices every gap
(σ_i − σ_i+1) / σ_1, and the last value itself, is at least 1e-3, so that single vectors are well determined.

Ranks. T is the first `top` and the last `tail` ranks. Outside T every edit takes (u_t, σ_t, v_t).

restore. U_new, S_new and V_new are assembled column by column; for i in T they take, by `what`:
  vectors     (u_s, σ_s, v_s)
  directions  (u_s, σ_t, v_s)
  values      (u_t, σ_s, v_t)
  left        (ε u_s, σ_t, v_t)
  right       (u_t, σ_t, ε v_s)
where ε = −1 if u_s·u_t + v_s·v_t < 0 and else 1; no such sum that is used is below 1e-3 in size. With
strength a the result is (1 − a) W_t + a U_new diag(S_new) V_newᵀ.
rollback. (1 − a) W_t + a W_s.
rescale. σ_t of the ranks in T times `factor`.
truncate. (1 − a) W_t + a times the sum of the first `keep` terms of W_t.
damp. Intruders (arXiv 2410.21228) are those of the first min(10, r) left vectors of W_t whose largest |cosine| with any
of the r left vectors of W_s is below 0.5; their σ_t is multiplied by `factor`. `intruders` counts from 0. No largest
|cosine| of a stored case lies within 0.02 of 0.5.
rebuild. W_t itself.

Spliced. For `vectors` and `directions` with top = r // 2, tail 0 and strength 1: departure is the spectral norm of
U_newᵀU_new − I (left) and of V_newᵀV_new − I (right); singularValues are those of the edited matrix.

Edited matrices are rounded to 12 significant digits. To keep the file small the 24 × 16 cases have fewer edits: the
first has no restore of (r, 0, 1) or (0, 0, 1) (top, tail, strength), the second, with intruders, only damp and rebuild.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # sums in one order, so that a second run gives the same digits

import json
import platform
import sys
from pathlib import Path

import numpy as np

GENERATOR = "tools/golden/make-surgery-golden.py"
GOLDEN = Path(__file__).resolve().parents[2] / "test" / "golden"
OUT = (Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN) / "surgery"
SEED = 2410
WHATS = ["vectors", "directions", "values", "left", "right"]


def shorten(values, digits):
    return [float(f"{value:.{digits - 1}e}") for value in np.ravel(values)]


# ---- inputs -------------------------------------------------------------------------------------------------


def make_source(rows, columns, rng):
    """Random singular vectors; values from 10 down to 2, no two closer than a few percent of the largest."""
    count = min(rows, columns)
    left, _ = np.linalg.qr(rng.normal(size=(rows, count)))
    right, _ = np.linalg.qr(rng.normal(size=(columns, count)))
    return left, 10 * np.linspace(1, 0.2, count), right


def make_pair(seed, rows, columns, size, spikes):
    """The perturbation: noise of relative Frobenius norm `size` and spikes outside the source's first 4 directions."""
    rng = np.random.default_rng([SEED, seed])
    left, values, right = make_source(rows, columns, rng)
    source = left * values @ right.T
    noise = rng.normal(size=(rows, columns))
    target = source + noise * (size * np.linalg.norm(source) / np.linalg.norm(noise))
    if spikes:
        spiked = []
        for vectors, length in ((left, rows), (right, columns)):
            drawn = rng.normal(size=(length, len(spikes)))
            drawn -= vectors[:, :4] @ (vectors[:, :4].T @ drawn)
            spiked.append(np.linalg.qr(drawn)[0])
        target = target + spiked[0] * np.array(spikes) @ spiked[1].T
    return [np.reshape(shorten(matrix, 9), (rows, columns)) for matrix in (target, source)]


class Decomposition:
    def __init__(self, matrix):
        self.matrix = matrix
        self.left, self.values, right = np.linalg.svd(matrix, full_matrices=False)
        self.right = right.T
        gaps = -np.diff(np.append(self.values, 0)) / self.values[0]
        assert np.all(gaps >= 1e-3), f"a gap of {gaps.min():.2g}"


# ---- edits --------------------------------------------------------------------------------------------------


def compose(left, values, right):
    return left @ np.diag(values) @ right.T


def blend(target, edited, strength):
    return (1 - strength) * target.matrix + strength * edited


def select(count, top, tail):
    assert top + tail <= count
    return [*range(top), *range(count - tail, count)]


def splice(target, source, what, top, tail):
    """U_new, S_new and V_new."""
    left, values, right = target.left.copy(), target.values.copy(), target.right.copy()
    for i in select(len(values), top, tail):
        agreement = source.left[:, i] @ target.left[:, i] + source.right[:, i] @ target.right[:, i]
        assert abs(agreement) >= 1e-3 or what not in ("left", "right"), f"rank {i} agrees by {agreement:.2g} only"
        sign = -1 if agreement < 0 else 1
        if what in ("vectors", "directions"):
            left[:, i], right[:, i] = source.left[:, i], source.right[:, i]
        if what in ("vectors", "values"):
            values[i] = source.values[i]
        if what == "left":
            left[:, i] = sign * source.left[:, i]
        if what == "right":
            right[:, i] = sign * source.right[:, i]
    return left, values, right


def find_intruders(target, source):
    tested = target.left[:, : min(10, len(target.values))]
    largest = np.max(np.abs(source.left.T @ tested), axis=0)
    assert np.all(np.abs(largest - 0.5) >= 0.02), f"largest cosines {largest}"
    return [int(i) for i in np.flatnonzero(largest < 0.5)]


def multiply(target, ranks, factor):
    values = target.values.copy()
    values[ranks] *= factor
    return compose(target.left, values, target.right)


def list_restores(count, is_short):
    """Each (top, tail, strength) that fits the rank, once."""
    half, third = count // 2, count // 3
    found = [(1, 0, 1), (half, 0, 1), (half, 1, 0.5), (0, third, 1), (count, 0, 1), (count, 0, 0.25), (0, 0, 1)]
    if is_short:
        found = [each for each in found if each not in ((count, 0, 1), (0, 0, 1))]
    return list(dict.fromkeys(each for each in found if each[0] + each[1] <= count))


def make_edits(target, source, extent):
    count = len(target.values)
    half = max(1, count // 2)
    edits = []

    def add(operation, expected, **parameters):
        edits.append({"operation": operation, **parameters, "expected": shorten(expected, 12)})

    intruders = find_intruders(target, source)
    add("damp", multiply(target, intruders, 0.75), factor=0.75, intruders=intruders)
    add("rebuild", target.matrix)
    if extent == "damp":
        return edits
    for what in WHATS:
        for top, tail, strength in list_restores(count, extent == "some"):
            edited = compose(*splice(target, source, what, top, tail))
            add("restore", blend(target, edited, strength), what=what, top=top, tail=tail, strength=strength)
    for strength in (1, 0.3):
        add("rollback", blend(target, source.matrix, strength), strength=strength)
    for top, tail in dict.fromkeys([(1, 0), (half, min(1, count - half))]):
        expected = multiply(target, select(count, top, tail), 0.5)
        add("rescale", expected, top=top, tail=tail, factor=0.5)
    for strength in (1, 0.5):
        edited = compose(target.left[:, :half], target.values[:half], target.right[:, :half])
        add("truncate", blend(target, edited, strength), keep=half, strength=strength)
    return edits


def make_spliced(target, source, what):
    top = len(target.values) // 2
    left, values, right = splice(target, source, what, top, 0)
    departure = {
        side: shorten(np.linalg.norm(vectors.T @ vectors - np.eye(len(values)), 2), 12)[0]
        for side, vectors in (("left", left), ("right", right))
    }
    found = shorten(np.linalg.svd(compose(left, values, right), compute_uv=False), 12)
    return {"what": what, "top": top, "tail": 0, "departure": departure, "singularValues": found}


def make_case(name, seed, rows, columns, size, spikes=(), extent="all"):
    target, source = map(Decomposition, make_pair(seed, rows, columns, size, spikes))
    assert len(find_intruders(target, source)) == len(spikes)
    return {
        "name": name,
        "rows": rows,
        "columns": columns,
        "target": target.matrix.ravel().tolist(),
        "source": source.matrix.ravel().tolist(),
        "edits": make_edits(target, source, extent),
        "spliced": [make_spliced(target, source, what) for what in ("vectors", "directions")],
    }


CASES = [
    ("10 × 6", 3, 10, 6, 0.2),
    ("6 × 10", 4, 6, 10, 0.3),
    ("9 × 9", 5, 9, 9, 0.15),
    ("24 × 16", 1, 24, 16, 0.1, (), "some"),
    ("24 × 16, intruders", 394, 24, 16, 0.1, (18, 9), "damp"),
    ("1 × 5", 6, 1, 5, 0.3),
    ("5 × 1", 1, 5, 1, 0.3),
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
    write("surgery", {"cases": [make_case(*case) for case in CASES]})


if __name__ == "__main__":
    main()
