"""Writes test/golden/statistics/statistics.json: what numpy, scipy and exact integers say of src/statistics.

Command, from the repository root: python3 tools/golden/make-statistics-golden.py
"""

import json
import platform
import sys
from fractions import Fraction
from pathlib import Path

import numpy
import scipy
from scipy import stats

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
        scipy_value = float(stats.binomtest(first, n, 0.5).pvalue) if n else 1.0
        rows.append({"onlyFirst": first, "onlySecond": second, "scipy": scipy_value, "exact": float(exact)})
    return rows


def binomial_masses():
    cases = [(0, 7, 0.3), (7, 7, 0.3), (3, 10, 0.25), (40, 200, 0.2), (199, 200, 0.999), (510, 1000, 0.5), (3, 5000, 0.001)]
    return [
        {"k": k, "n": n, "probability": p, "mass": float(stats.binom.pmf(k, n, p)), "upperTail": float(stats.binom.sf(k - 1, n, p))}
        for k, n, p in cases
    ]


def mcnemar_powers():
    """By adding up all outcomes of the trinomial that the exact two-sided test calls significant, the first ahead."""
    rows = []
    for n, first, second in [(6, 1.0, 0.0), (20, 0.3, 0.05), (40, 0.25, 0.1), (100, 0.1, 0.0), (100, 0.12, 0.05), (200, 0.15, 0.1)]:
        outcomes = numpy.array([(b, c, n - b - c) for b in range(n + 1) for c in range(0, min(b, n - b + 1))])
        smaller, larger = outcomes[:, 1], outcomes[:, 0]
        # The two-sided test at one half is twice the smaller tail.
        is_significant = 2 * stats.binom.cdf(smaller, smaller + larger, 0.5) < 0.05
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


def bootstraps(rng):
    rows = rng.normal([0.6, 0.2, 0.9], [0.3, 0.3, 0.2], (60, 3))

    def mean_difference(end, start, axis):
        return end.mean(axis=axis) - start.mean(axis=axis)

    def recovery(end, start, peak, axis):
        begin = start.mean(axis=axis)
        return (end.mean(axis=axis) - begin) / (peak.mean(axis=axis) - begin)

    found = []
    for name, statistic, columns in (("difference", mean_difference, 2), ("ratio", recovery, 3)):
        for confidence in (0.8, 0.95):
            result = stats.bootstrap(
                [rows[:, column] for column in range(columns)],
                statistic,
                paired=True,
                vectorized=True,
                method="percentile",
                n_resamples=200_000,
                batch=2_000,
                confidence_level=confidence,
                random_state=numpy.random.default_rng(11),
            )
            interval = result.confidence_interval
            row = {"statistic": name, "confidence": confidence, "low": float(interval.low)}
            found.append({**row, "high": float(interval.high), "standardError": float(result.standard_error)})
    return {"rows": rows.tolist(), "intervals": found}


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
        "pairedBootstrap": bootstraps(rng),
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
