"""Writes test/golden/statistics/statistics.json: what numpy, scipy and exact integers say of src/statistics.

Command, from the repository root: python3 tools/golden/make-statistics-golden.py
"""

import json
import math
import platform
import sys
from fractions import Fraction
from pathlib import Path

import numpy
import scipy
from scipy import optimize, stats

GOLDEN = Path(__file__).resolve().parents[2] / "test" / "golden"
TARGET = (Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN) / "statistics" / "statistics.json"


def normal_quantiles():
    probabilities = [1e-300, 1e-20, 1e-10, 1e-6, 0.001, 0.025, 0.05, 0.07499, 0.0751, 0.3, 0.5]
    probabilities += [0.61, 0.8, 0.9, 0.925, 0.95, 0.975, 0.995, 0.9999, 1 - 1e-9]
    return [{"probability": p, "quantile": float(stats.norm.ppf(p))} for p in probabilities]


def wilson_intervals():
    cases = [(0, 1), (1, 1), (0, 50), (50, 50), (27, 200), (124, 200), (1, 7), (999_999, 1_000_000)]
    rows = []
    for correct, total in cases:
        for confidence in (0.8, 0.95, 0.999):
            interval = stats.binomtest(correct, total).proportion_ci(confidence, method="wilson")
            row = {"correct": correct, "total": total, "confidence": confidence}
            rows.append({**row, "low": float(interval.low), "high": float(interval.high)})
    return rows


def mcnemar_tests():
    cases = [(0, 1), (1, 0), (5, 5), (0, 10), (3, 12), (97, 3), (40, 60), (15, 16), (14, 31), (200, 260)]
    cases += [(1_000, 1_100), (5_000, 5_010), (50_000, 51_000), (0, 900)]
    rows = []
    for first, second in cases:
        n, smaller = first + second, min(first, second)
        tail, term = 0, 1
        for k in range(smaller + 1):
            tail += term
            term = term * (n - k) // (k + 1)
        exact = min(Fraction(1), Fraction(2 * tail, 2**n))
        mid = Fraction(1) if first == second else exact - Fraction(math.comb(n, smaller), 2**n)
        scipy_value = float(stats.binomtest(first, n, 0.5).pvalue) if n else 1.0
        rows.append({"onlyFirst": first, "onlySecond": second, "scipy": scipy_value, "exact": float(exact), "mid": float(mid)})
    return rows


def binomial_masses():
    cases = [(0, 7, 0.3), (7, 7, 0.3), (3, 10, 0.25), (40, 200, 0.2), (199, 200, 0.999), (510, 1000, 0.5), (3, 5000, 0.001)]
    return [
        {"k": k, "n": n, "probability": p, "mass": float(stats.binom.pmf(k, n, p)), "upperTail": float(stats.binom.sf(k - 1, n, p))}
        for k, n, p in cases
    ]


def mcnemar_powers():
    """By adding up all outcomes of the trinomial that the two-sided mid-p test calls significant, the first ahead."""
    rows = []
    for n, first, second in [(6, 1.0, 0.0), (20, 0.3, 0.05), (40, 0.25, 0.1), (100, 0.1, 0.0), (100, 0.12, 0.05), (200, 0.15, 0.1)]:
        outcomes = numpy.array([(b, c, n - b - c) for b in range(n + 1) for c in range(0, min(b, n - b + 1))])
        smaller, larger = outcomes[:, 1], outcomes[:, 0]
        # The two-sided test at one half is twice the smaller tail, and half of the last term of each.
        total = smaller + larger
        is_significant = 2 * stats.binom.cdf(smaller, total, 0.5) - stats.binom.pmf(smaller, total, 0.5) < 0.05
        masses = stats.multinomial.pmf(outcomes[is_significant], n, [first, second, 1 - first - second])
        power = masses.sum()
        rows.append({"numItems": n, "onlyFirst": first, "onlySecond": second, "power": float(power)})
    return rows


def moment_tables(rng):
    lists = [rng.normal(3, 2, 40), rng.exponential(1, 60), rng.standard_t(3, 50) * 1e-4, numpy.array([1.0, 2.0])]
    return [
        {
            "values": values.tolist(),
            "mean": float(numpy.mean(values)),
            "standardDeviation": float(numpy.std(values)),
            "skewness": float(stats.skew(values)),
            "kurtosis": float(stats.kurtosis(values)),
        }
        for values in lists
    ]


def histograms(rng):
    grid = numpy.arange(-3, 14) * 0.1
    cases = [(rng.normal(0, 1, 200), -2.0, 2.0, 16), (grid, 0.0, 1.0, 10), (grid, 0.1, 0.7, 6), (grid, -0.3, 0.9, 7)]
    rows = []
    for values, low, high, bins in cases:
        counts, _ = numpy.histogram(values, bins=bins, range=(low, high))
        row = {"values": values.tolist(), "low": low, "high": high, "numBins": bins, "counts": counts.tolist()}
        rows.append({**row, "numUnderflow": int((values < low).sum()), "numOverflow": int((values > high).sum())})
    return rows


def entropies():
    cases = [[1], [5, 5], [1, 2, 3, 4, 0], [0, 7, 0], [1_000_000, 1], list(range(1, 65))]
    return [{"counts": counts, "nats": float(stats.entropy(counts))} for counts in cases]


def quantiles(rng):
    values = numpy.sort(rng.normal(0, 1, 23))
    fractions = [0, 0.025, 0.1, 0.5, 0.77, 0.975, 1]
    return {"values": values.tolist(), "fractions": fractions, "quantiles": numpy.quantile(values, fractions).tolist()}


def students():
    """Quantiles and upper tails of Student's t, and upper tails of the normal distribution."""
    quantiles = [
        {"probability": p, "degrees": d, "quantile": float(stats.t.ppf(p, d))}
        for p in (1e-6, 0.001, 0.025, 0.3, 0.61, 0.975, 0.9999)
        for d in (1, 4, 19, 399)
    ]
    tails = [{"t": t, "degrees": d, "tail": float(stats.t.sf(t, d))} for t in (-3, 0, 0.1, 2.1, 40) for d in (1, 19, 399)]
    return {"quantiles": quantiles, "tails": tails, "normalTails": [{"z": z, "tail": float(stats.norm.sf(z))} for z in (-2, 0, 1.96, 8, 20)]}


def tango_intervals():
    """Each end is where the score reaches the critical value; the likeliest share under a difference is searched for, not solved."""

    def likeliest(first, second, n, difference):
        low, high = max(0.0, -difference), (1 - difference) / 2

        def loss(share):
            cells = [(first, share + difference), (second, share), (n - first - second, 1 - 2 * share - difference)]
            return -sum(count * numpy.log(max(p, 1e-300)) for count, p in cells if count)

        found = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-13})
        return min([low, high, found.x], key=loss)

    def score(first, second, n, difference):
        share = likeliest(first, second, n, difference)
        variance = n * (2 * share + difference - difference**2)
        return (first - second - n * difference) / numpy.sqrt(max(variance, 1e-300))

    rows = []
    for first, second, n in [(0, 0, 50), (3, 0, 40), (12, 3, 100), (20, 20, 200), (1, 0, 5), (30, 0, 30), (7, 5, 1000), (142, 3, 200)]:
        for critical in (1.959963984540054, 2.9):
            estimate = (first - second) / n
            ends = []
            for sign, edge in ((1, -1 + 1e-12), (-1, 1 - 1e-12)):
                reach = lambda d: sign * score(first, second, n, d) - critical
                ends.append(edge if estimate == sign * -1 else float(optimize.brentq(reach, edge, estimate, xtol=1e-14)))
            rows.append({"onlyFirst": first, "onlySecond": second, "numItems": n, "critical": critical, "low": ends[0], "high": ends[1]})
    return rows


def main():
    rng = numpy.random.default_rng(20_240_901)
    golden = {
        "generator": "tools/golden/make-statistics-golden.py",
        "command": "python3 tools/golden/make-statistics-golden.py",
        "versions": {"python": platform.python_version(), "numpy": numpy.__version__, "scipy": scipy.__version__},
        "normalQuantile": normal_quantiles(),
        "wilsonInterval": wilson_intervals(),
        "mcnemarExact": mcnemar_tests(),
        "binomial": binomial_masses(),
        "mcnemarPower": mcnemar_powers(),
        "moments": moment_tables(rng),
        "histogram": histograms(rng),
        "shannonEntropy": entropies(),
        "quantile": quantiles(rng),
        "student": students(),
        "tangoInterval": tango_intervals(),
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
