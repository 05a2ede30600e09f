"""Writes test/golden/spectra/spectra.json and sparsity.json: what NumPy says of pairs of weight matrices.

Command, from the repository root: /usr/bin/python3 tools/golden/make-spectra-golden.py   (needs numpy and scipy; takes seconds)

Inputs. No matrix is stored. Each case has a spec that this script and test/support/golden-matrix.ts build into the same
float64 matrices, bit for bit: integer hashes, then single IEEE additions, products, divisions and square roots in a
fixed order; no BLAS, no fused operations, no sine, power or logarithm. Checksums are the SHA-256 of the little-endian
values, row after row. The update is after − before, subtracted in float64.

Singular values, norms and ranks. Vectors come from LAPACK's gesdd (numpy.linalg.svd). numericalRank counts values above
max(rows, columns) · 2^-52 · largest. entropyRank is exp(−Σ p ln p) with p = σ / Σσ. energyRanks.percent90 is the smallest
r whose first r values hold 90 % of Σσ². A rank that a change in the last digits could turn is left out.

Subspaces. Angles lie between the spans of the first k singular vectors of before and after, in radians, ascending. They
are atan2(sine, cosine): cosines from the singular values of U_bᵀU_a, sines from those of U_a − U_b U_bᵀU_a, each
accurate where the other is not. scipy.linalg.subspace_angles is no reference: it applies its mask in the wrong order, so
that an angle of 1e-8 beside one of 1.5 comes out as 0. A side on which k is the whole space has angles 0. An entry is
left out where before or after has a gap (σ_k − σ_k+1) / σ_1 below 1e-7 (unless k = min(rows, columns)), where k exceeds
a numerical rank, or where the drivers gesdd and gesvd give angles that differ by more than 1e-10.

Energy. With the first k vectors of before, C = U_kᵀ (after − before) V_k: inside = ‖C‖² / ‖update‖², stretch is the
diagonal's part of it, rotation the rest of it, outside = 1 − inside; Frobenius norms. Alignment is the mean over i of
max_j |(U_bᵀU_a)_ij|. Stretch, rotation and alignment depend on single vectors and are left out unless all gaps up to k,
of before (and for the alignment also of after), are at least 1e-6 and both drivers agree to 1e-10.

Power law. λ = σ²; λ ≤ 1e-12 · largest are ignored, and at least 20 must be left. Every λ with n ≥ 10 values λ_1 ≤ … ≤ λ_n
at or above it is a candidate λmin: exponent = 1 + n / Σ ln(λ_i / λmin), distance = max_i |F(λ_i) − (i − 1) / n| with
F(λ) = 1 − (λ / λmin)^(1 − exponent), so that the empirical distribution is taken just below each λ_i, as Clauset's plfit
and WeightWatcher do. The candidate of smallest distance wins. Left out where two λ agree to 1e-9, relative, or where
another candidate's distance comes within 1e-9.

Intruders. Of the first min(10, rows, columns) left vectors of after, those whose largest |cosine| with any of the
min(rows, columns) left vectors of before is below 0.5. Left out where a tested vector of after has a gap below 1e-6 or
any vector of before one below 1e-8, or where a largest |cosine| lies within 1e-6 of 0.5.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # sums in one order, so that a second run gives the same digits

import hashlib
import json
import math
import platform
import struct
import sys
from pathlib import Path

import numpy as np
import scipy
from scipy.linalg import svd

GENERATOR = "tools/golden/make-spectra-golden.py"
GOLDEN = Path(__file__).resolve().parents[2] / "test" / "golden"
OUT = (Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN) / "spectra"

# ---- inputs: test/support/golden-matrix.ts does the same ----------------------------------------------------


def mix(x):
    """Scatters the bits of 32-bit integers (two multiplications and three shifts)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def noise(seed, stream, rows, columns):
    """Σ of four uniforms − 2 at each (i, j), exact: 20-bit integers that depend on seed, stream, i and j only."""
    i = np.arange(rows, dtype=np.uint32)[:, None] * np.uint32(0x9E3779B9)
    j = np.arange(columns, dtype=np.uint32)[None, :] * np.uint32(0x85EBCA6B)
    total = np.zeros((rows, columns), dtype=np.int64)
    for draw in range(4):
        start = mix(np.array([seed * 256 + stream * 4 + draw], dtype=np.uint32))
        total += mix(mix(start + i) ^ j) >> np.uint32(12)
    return (total + 2) / 1048576 - 2


def outer_sum(left, right, weights):
    """Σ_r weights[r] · left[:, r] · right[r, :], added in the order of r."""
    total = np.zeros((left.shape[0], right.shape[1]))
    for r, weight in enumerate(weights):
        total += np.multiply.outer(weight * left[:, r], right[r, :])
    return total


def noise_product(seed, stream, rows, columns, weights):
    rank = len(weights)
    return outer_sum(noise(seed, stream, rows, rank), noise(seed, stream + 1, rank, columns), weights)


def decay(power, r):
    n = float(r + 1)
    return {0.5: 1 / math.sqrt(n), 1: 1 / n, 1.5: 1 / (n * math.sqrt(n))}[power]


def signs(size, count):
    """The first columns of the Hadamard matrix of a power of two: (−1)^popcount(i & r)."""
    return np.array([[1.0 - 2.0 * (bin(i & r).count("1") % 2) for r in range(count)] for i in range(size)])


def turn(vectors, planes):
    """Turns pairs of columns by the angle whose half has the given tangent."""
    for first, second, t in planes:
        cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
        a, b = vectors[:, first].copy(), vectors[:, second].copy()
        vectors[:, first] = cosine * a + sine * b
        vectors[:, second] = cosine * b - sine * a


def expand(blocks):
    return [float(value) for value, count in blocks for _ in range(count)]


def hadamard(rows, columns, blocks, left_planes=(), right_planes=()):
    values = expand(blocks)
    left, right = signs(rows, len(values)), signs(columns, len(values))
    turn(left, left_planes)
    turn(right, right_planes)
    return outer_sum(left, right.T, values) * (1 / math.sqrt(rows * columns))


def diagonal(rows, columns, blocks, stride):
    matrix = np.zeros((rows, columns))
    for i, value in enumerate(expand(blocks)):
        matrix[i * stride % rows, i] = value
    return matrix


def build_base(base, spec):
    rows, columns, seed, kind = spec["rows"], spec["columns"], spec["seed"], base["kind"]
    stream = base.get("stream", 0)
    if kind == "gaussian":
        return noise(seed, stream, rows, columns) * base["scale"]
    if kind == "power-law":
        weights = [decay(base["power"], r) for r in range(min(rows, columns))]
        return noise_product(seed, stream, rows, columns, weights)
    if kind == "rank-deficient":
        return noise_product(seed, stream, rows, columns, [base["scale"]] * base["rank"])
    if kind == "hadamard":
        return hadamard(rows, columns, base["blocks"])
    return diagonal(rows, columns, base["blocks"], base["stride"])


def frobenius_in_order(matrix):
    return math.sqrt(np.cumsum(matrix.ravel() * matrix.ravel())[-1])


def add_scaled(before, change, update):
    """Adds a change at a relative size, at an absolute Frobenius norm, or as it is."""
    if "size" in update:
        factor = update["size"] * frobenius_in_order(before) / frobenius_in_order(change)
    elif "norm" in update:
        factor = update["norm"] / frobenius_in_order(change)
    else:
        factor = 1.0
    return before + factor * change


def rotate(spec):
    planes, side = spec["update"]["planes"], spec["update"]["side"]
    left, right = (planes if side != "right" else ()), (planes if side != "left" else ())
    return hadamard(spec["rows"], spec["columns"], spec["base"]["blocks"], left, right)


def build_after(before, spec):
    update, rows, columns, seed = spec["update"], spec["rows"], spec["columns"], spec["seed"]
    kind = update["kind"]
    after = before.copy()
    if kind == "gaussian":
        after = add_scaled(before, noise(seed, 8, rows, columns), update)
    elif kind == "low-rank":
        weights = [update.get("scale", 1.0)] * update["rank"]
        after = add_scaled(before, noise_product(seed, 8, rows, columns, weights), update)
    elif kind == "rotation":
        after = rotate(spec)
    elif kind == "sign-flip":
        after = -before
    elif kind == "row-permutation":
        after = before[[(i * update["stride"] + 1) % rows for i in range(rows)], :]
    elif kind == "keep-columns":
        after[:, update["count"] :] = 0
    elif kind == "entries":
        for i, j, value in update["entries"]:
            after[i, j] = value
    elif kind == "replace":
        after = build_base(update["by"], spec)
    return after


def build_pair(spec):
    before = build_base(spec["base"], spec)
    return before, build_after(before, spec)


def checksum(matrix):
    return hashlib.sha256(np.ascontiguousarray(matrix, dtype="<f8").tobytes()).hexdigest()


# ---- cases --------------------------------------------------------------------------------------------------


def gaussian(scale=0.125):
    return {"kind": "gaussian", "scale": scale}


def power_law(power):
    return {"kind": "power-law", "power": power}


def rank_deficient(rank, stream=0):
    return {"kind": "rank-deficient", "rank": rank, "scale": 0.25, "stream": stream}


def blocks_of(*blocks):
    return {"kind": "hadamard", "blocks": [list(block) for block in blocks]}


def ramp(count, top):
    """Distinct values top, top − 1, …"""
    return blocks_of(*[(top - i, 1) for i in range(count)])


def change(size):
    return {"kind": "gaussian", "size": size}


def low_rank(rank, **how):
    return {"kind": "low-rank", "rank": rank, **how}


def rotation(side, *planes):
    return {"kind": "rotation", "side": side, "planes": [list(plane) for plane in planes]}


def permutation(stride):
    return {"kind": "row-permutation", "stride": stride}


TOY = {"kind": "diagonal", "blocks": [[3, 1], [2, 1], [1, 1]], "stride": 1}
NARROW = blocks_of((8, 4), (8 - 2**-10, 4), (4, 8), (4 - 2**-12, 8), (1, 40))
REPEATED = {"kind": "diagonal", "blocks": [[9, 3], [4, 5], [1, 16]], "stride": 5}
# the angle is 2 · atan(tangent): about 1e-8, 1e-6, 1e-4, 0.01, 0.39, 1.22 and π/2 − 1e-6 radians, and exactly π/2
TANGENTS = [5e-9, 5e-7, 5e-5, 0.005, 0.2, 0.7, 0.999999, 1]
SPREAD = [[i, 8 + i, t] for i, t in enumerate(TANGENTS)]
WITHIN = [[0, 1, 0.3], [2, 3, 1], [1, 2, 0.01]]

# name: (rows, columns, base, update, ranks)
CASES = {
    "one-row": (1, 12, gaussian(), change(0.5), [1]),
    "one-column": (12, 1, gaussian(), change(0.5), [1]),
    "two-by-three": (2, 3, gaussian(1), change(0.3), [1, 2]),
    "toy": (3, 3, TOY, {"kind": "entries", "entries": [[0, 1, 0.3], [2, 2, 1.2]]}, [1, 2, 3]),
    "five-by-three": (5, 3, gaussian(1), low_rank(1, size=0.4), [1, 2, 3]),
    "thin": (300, 5, gaussian(), change(0.2), [1, 2, 5]),
    "flat": (5, 300, gaussian(), low_rank(1, size=0.3), [1, 3, 5]),
    "identical": (24, 16, gaussian(), {"kind": "none"}, [1, 4, 16]),
    "sign-flip": (20, 30, gaussian(), {"kind": "sign-flip"}, [1, 5, 20]),
    "update-1e-7": (96, 96, gaussian(), change(1e-7), [1, 4, 16, 48, 96]),
    "update-1e-6": (96, 96, power_law(1), change(1e-6), [1, 4, 16, 48, 96]),
    "update-1e-5": (123, 96, gaussian(), change(1e-5), [1, 4, 16, 48, 96]),
    "update-1e-4": (256, 96, power_law(0.5), change(1e-4), [1, 4, 16, 48, 96]),
    "update-1e-3": (96, 123, power_law(1.5), change(1e-3), [1, 4, 16, 48, 96]),
    "update-1e-2": (96, 96, gaussian(), change(1e-2), [1, 4, 16, 48, 96]),
    "update-1e-1": (123, 96, power_law(1), change(1e-1), [1, 4, 16, 48, 96]),
    "update-1": (96, 96, power_law(0.5), change(1), [1, 4, 16, 48, 96]),
    "low-rank-exact": (96, 96, gaussian(), low_rank(4, scale=0.015625), [1, 4, 16, 96]),
    "low-rank-tall": (256, 96, power_law(1), low_rank(8, size=0.3), [1, 8, 16, 96]),
    "low-rank-wide": (96, 256, gaussian(), low_rank(2, size=0.05), [1, 2, 16, 96]),
    "low-rank-strong": (128, 96, gaussian(), low_rank(3, size=1), [1, 3, 10, 96]),
    "rank-deficient-before": (64, 48, rank_deficient(10), change(0.1), [1, 5, 10, 20]),
    "rank-deficient-after": (60, 40, gaussian(), {"kind": "keep-columns", "count": 25}, [1, 5, 25, 30]),
    "rank-deficient-same": (40, 60, rank_deficient(8), {"kind": "none"}, [1, 8, 9]),
    "rank-deficient-grown": (48, 64, rank_deficient(6), low_rank(3, scale=0.125), [1, 3, 6, 9]),
    "rank-deficient-both": (48, 64, rank_deficient(12), {"kind": "replace", "by": rank_deficient(9, 16)}, [1, 9, 12]),
    "equal-blocks": (32, 32, blocks_of((8, 4), (4, 4), (2, 8), (1, 16)), change(1e-3), [2, 4, 8, 16, 32]),
    "equal-blocks-wide": (32, 64, blocks_of((8, 2), (5, 6), (1, 24)), low_rank(2, size=0.02), [2, 5, 8, 32]),
    "equal-blocks-deficient": (64, 32, blocks_of((4, 8), (1, 8)), permutation(5), [4, 8, 16]),
    "narrow-gaps": (64, 64, NARROW, change(1e-7), [4, 8, 16, 24, 64]),
    "all-equal": (16, 16, blocks_of((1, 16)), change(0.1), [8, 16]),
    "repeated-diagonal": (24, 24, REPEATED, permutation(7), [3, 8, 12, 24]),
    "rotation-left": (64, 64, ramp(24, 32), rotation("left", *SPREAD), [4, 8, 16, 24]),
    "rotation-right": (32, 64, ramp(32, 40), rotation("right", *SPREAD), [4, 8, 16, 32]),
    "rotation-both": (64, 32, ramp(20, 32), rotation("both", *SPREAD), [2, 8, 12, 20]),
    "rotation-within": (32, 32, ramp(32, 32), rotation("left", *WITHIN), [1, 2, 3, 4, 32]),
    "permutation": (96, 96, power_law(1), permutation(11), [1, 4, 16, 96]),
    "large-gaussian": (600, 400, gaussian(0.0625), change(0.01), [1, 8, 64, 400]),
    "large-power-law": (600, 400, power_law(1), low_rank(16, size=0.02), [1, 8, 64, 400]),
    "large-wide": (400, 600, power_law(0.5), change(1e-5), [1, 8, 64, 400]),
}


def make_spec(name, seed, case):
    rows, columns, base, update, ranks = case
    shape = {"name": name, "rows": rows, "columns": columns, "seed": seed}
    return {**shape, "base": base, "update": update, "ranks": ranks}


# ---- spectra ------------------------------------------------------------------------------------------------


class Decomposition:
    """Thin singular value decompositions by both of LAPACK's drivers; gaps are relative to the largest value."""

    def __init__(self, matrix):
        self.shape = matrix.shape
        self.left, self.values, right = svd(matrix, full_matrices=False, lapack_driver="gesdd")
        self.right = right.T
        self.other_left, _, right = svd(matrix, full_matrices=False, lapack_driver="gesvd")
        self.other_right = right.T
        self.gaps = (self.values - np.append(self.values[1:], 0.0)) / (self.values[0] or 1.0)

    def sides(self, k):
        """First k left and right vectors: of gesdd, then of gesvd."""
        first = (self.left[:, :k], self.right[:, :k])
        return first, (self.other_left[:, :k], self.other_right[:, :k])


def numerical_tolerance(decomposition):
    return max(decomposition.shape) * np.finfo(float).eps * decomposition.values[0]


def numerical_rank(decomposition):
    return int((decomposition.values > numerical_tolerance(decomposition)).sum())


def energy_ranks(values):
    shares = np.cumsum(values**2) / np.sum(values**2)
    found = {}
    for percent in (90, 95, 99):
        if np.abs(shares - percent / 100).min() > 1e-9:
            found[f"percent{percent}"] = int((shares < percent / 100).sum()) + 1
    return found


def fit_tail(tail):
    n, smallest = len(tail), tail[0]
    exponent = 1 + n / np.sum(np.log(tail / smallest))
    distance = np.abs(1 - (tail / smallest) ** (1 - exponent) - np.arange(n) / n).max()
    return {"exponent": float(exponent), "lambdaMin": float(smallest), "numTail": n, "distance": float(distance)}


def fit_power_law(values):
    eigenvalues = np.sort(values**2)
    eigenvalues = eigenvalues[eigenvalues > 1e-12 * eigenvalues[-1]]
    if len(eigenvalues) < 20 or (np.diff(eigenvalues) < 1e-9 * eigenvalues[1:]).any():
        return {}
    fits = sorted(
        (fit_tail(eigenvalues[start:]) for start in range(len(eigenvalues) - 9)),
        key=lambda fit: fit["distance"],
    )
    return {"powerLaw": fits[0]} if fits[1]["distance"] - fits[0]["distance"] > 1e-9 else {}


def summarize(matrix, decomposition):
    values = decomposition.values
    frobenius = float(np.linalg.norm(matrix))
    if frobenius == 0:
        return None
    shares = values[values > 0] / values.sum()
    summary = {
        "frobenius": frobenius,
        "spectral": float(values[0]),
        "stableRank": frobenius**2 / float(values[0]) ** 2,
        "entropyRank": float(np.exp(-np.sum(shares * np.log(shares)))),
        "energyRanks": energy_ranks(values),
    }
    tolerance = numerical_tolerance(decomposition)
    if not ((values > tolerance / 2) & (values < tolerance * 2)).any():
        summary["numericalRank"] = numerical_rank(decomposition)
    return {**summary, **fit_power_law(values)}


# ---- subspaces ----------------------------------------------------------------------------------------------


def principal_angles(first, second):
    """Angles between the spans of orthonormal columns, ascending."""
    size, count = first.shape
    if size == count:
        return np.zeros(count)
    product = first.T @ second
    cosines = np.linalg.svd(product, compute_uv=False)
    sines = np.linalg.svd(second - first @ product, compute_uv=False)[::-1]
    return np.arctan2(sines, cosines)


def split_energy(update, left, right):
    core = left.T @ update @ right
    total = np.sum(update**2)
    inside, stretch = float(np.sum(core**2) / total), float(np.sum(np.diag(core) ** 2) / total)
    return {"inside": inside, "outside": 1 - inside}, {"stretch": stretch, "rotation": inside - stretch}


def agree(first, second):
    return np.abs(np.subtract(list(first), list(second))).max() <= 1e-10


def measure_energy(update, before, k):
    if not update.any():
        return None
    (inside, split), (_, other_split) = (split_energy(update, *sides) for sides in before.sides(k))
    is_sharp = before.gaps[:k].min() >= 1e-6 and agree(split.values(), other_split.values())
    return {**inside, **split} if is_sharp else inside


def measure_alignment(before, after, k):
    if min(before.gaps[:k].min(), after.gaps[:k].min()) < 1e-6:
        return {}
    found = [
        [float(np.abs(b.T @ a).max(axis=1).mean()) for b, a in zip(sides_before, sides_after)]
        for sides_before, sides_after in zip(before.sides(k), after.sides(k))
    ]
    return {"alignment": {"left": found[0][0], "right": found[0][1]}} if agree(*found) else {}


def measure_subspace(update, before, after, k):
    """An entry for the first k vectors, or None where they are ill-determined."""
    gap = {"before": float(before.gaps[k - 1]), "after": float(after.gaps[k - 1])}
    if k > min(numerical_rank(before), numerical_rank(after)):
        return None
    if k < min(before.shape) and min(gap.values()) < 1e-7:
        return None
    found = [
        [principal_angles(b, a) for b, a in zip(sides_before, sides_after)]
        for sides_before, sides_after in zip(before.sides(k), after.sides(k))
    ]
    if not agree(np.concatenate(found[0]), np.concatenate(found[1])):
        return None
    angles = {"left": found[0][0].tolist(), "right": found[0][1].tolist()}
    energy = measure_energy(update, before, k)
    return {"k": k, "gap": gap, "angles": angles, "energy": energy, **measure_alignment(before, after, k)}


def count_intruders(before, after):
    tested = min(10, *after.shape)
    cosines = np.abs(before.left.T @ after.left[:, :tested]).max(axis=0)
    is_sharp = after.gaps[:tested].min() >= 1e-6 and before.gaps.min() >= 1e-8
    if not is_sharp or np.abs(cosines - 0.5).min() < 1e-6:
        return {}
    found = {"numTested": tested, "numIntruders": int((cosines < 0.5).sum()), "largestCosines": cosines.tolist()}
    return {"intruders": found}


def make_case(spec):
    matrices = dict(zip(("before", "after"), build_pair(spec)))
    checksums = {name: checksum(matrix) for name, matrix in matrices.items()}
    matrices["update"] = matrices["after"] - matrices["before"]
    found = {name: Decomposition(matrix) for name, matrix in matrices.items()}
    before, after = found["before"], found["after"]
    shift = np.linalg.norm(after.values - before.values) / np.linalg.norm(before.values)
    entries = [measure_subspace(matrices["update"], before, after, k) for k in spec["ranks"]]
    return {
        "spec": spec,
        "checksum": checksums,
        "singularValues": {name: one.values.tolist() for name, one in found.items()},
        "spectralShift": float(shift),
        "summary": {name: summarize(matrices[name], one) for name, one in found.items()},
        "subspaces": [entry for entry in entries if entry is not None],
        **count_intruders(before, after),
    }


# ---- sparsity -----------------------------------------------------------------------------------------------


def bf16_bits(value):
    """The upper half of the float32, rounded to nearest, ties to even."""
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def bf16_value(bits):
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def make_sparsity_vector(weight):
    """A weight in bfloat16 and its next neighbour away from zero: are the two equal, by either rule?"""
    bits = bf16_bits(weight)
    value, following = bf16_value(bits), bf16_value(bits + 1)
    difference = following - value
    return {
        "weight": weight,
        "bits": f"0x{bits:04x}",
        "value": value,
        "nextBits": f"0x{bits + 1:04x}",
        "next": following,
        "difference": difference,
        "isEqualWithinTolerance": abs(difference) <= 1e-5,
        "isEqualRelatively": abs(difference) <= 1e-3 * max(abs(value), abs(following)),
    }


def make_spike(strength):
    """A rank-one spike on a 256 × 256 matrix of noise with variance 1 / 256, whose largest singular value is about 2."""
    base, update = gaussian(math.sqrt(3) / 16), low_rank(1, norm=strength)
    spec = make_spec(f"spike-{strength}", 900, (256, 256, base, update, []))
    pair = build_pair(spec)
    before, after = (Decomposition(matrix) for matrix in pair)
    checksums = dict(zip(("before", "after"), map(checksum, pair)))
    return {"strength": strength, "spec": spec, "checksum": checksums, **count_intruders(before, after)}


def make_sparsity():
    weights = [0.001, 0.0019, 0.002, 0.01, 1.0, 0.001953125, -0.01]
    return {
        "tolerance": 1e-5,
        "toleranceBits": f"0x{bf16_bits(1e-5):04x}",
        "toleranceValue": bf16_value(bf16_bits(1e-5)),
        "relativeTolerance": 1e-3,
        "vectors": [make_sparsity_vector(weight) for weight in weights],
        "spikes": [make_spike(strength) for strength in (0.5, 1, 1.5, 2, 3)],
    }


def write(name, content):
    """One line for each element of a list, so that a change shows where it is."""
    versions = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
    head = {"generator": GENERATOR, "command": f"/usr/bin/python3 {GENERATOR}", "versions": versions}
    lines = []
    for key, value in {**head, **content}.items():
        text = json.dumps(value, allow_nan=False)
        if isinstance(value, list):
            text = "[\n" + ",\n".join("  " + json.dumps(each, allow_nan=False) for each in value) + "\n ]"
        lines.append(f" {json.dumps(key)}: {text}")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    specs = [make_spec(name, 100 + index, case) for index, (name, case) in enumerate(CASES.items())]
    write("spectra", {"cases": [make_case(spec) for spec in specs]})
    write("sparsity", make_sparsity())


if __name__ == "__main__":
    main()
