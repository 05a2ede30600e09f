"""Writes test/golden/checkpoint: safetensors files laid out by hand after the format's rules, and what they hold.

Independent of the TypeScript code: bytes by struct and json, conversions by numpy (F16, F64) and by exact
comparison of the two neighbours (BF16). Run: /usr/bin/python3 tools/golden/make-checkpoint-fixtures.py
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np

COMMAND = "/usr/bin/python3 tools/golden/make-checkpoint-fixtures.py"
GOLDEN = Path(__file__).resolve().parents[2] / "test" / "golden"
FOLDER = (Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN) / "checkpoint"
random = np.random.default_rng(20240607)


def bits_of(values):
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).ravel()


def nearest_bfloat16(single_bits):
    """The BF16 pattern nearest to an F32 pattern, ties to the even pattern, by comparing exact distances."""
    single_bits = int(single_bits)
    low, high = single_bits >> 16, (single_bits >> 16) + 1
    value = np.uint32(single_bits).view(np.float32).astype(np.float64)
    if np.isnan(value):
        return low if low & 0x7F else low | 0x40
    if np.isinf(value):
        return low
    sign = -1.0 if low & 0x8000 else 1.0
    below = np.uint32(low << 16).view(np.float32).astype(np.float64)
    # Above the largest finite value the next step would be 2^128.
    above = np.float64(2.0**128 * sign) if high & 0x7FFF == 0x7F80 else np.uint32(high << 16).view(np.float32).astype(np.float64)
    to_low, to_high = abs(value - below), abs(above - value)
    if to_low != to_high:
        return low if to_low < to_high else high
    return low if low % 2 == 0 else high


def tensor(dtype, shape, raw, floats=None):
    return {"dtype": dtype, "shape": list(shape), "raw": raw, "floats": floats}


def f32(values):
    return tensor("F32", values.shape, values.astype("<f4").tobytes(), bits_of(values))


def f16(values):
    halves = values.astype("<f2")
    return tensor("F16", values.shape, halves.tobytes(), bits_of(halves.astype(np.float32)))


def f64(values):
    with np.errstate(over="ignore"):
        narrowed = values.astype(np.float32)
    return tensor("F64", values.shape, values.astype("<f8").tobytes(), bits_of(narrowed))


def bf16(values):
    halves = np.array([nearest_bfloat16(bits) for bits in bits_of(values)], dtype="<u2")
    return tensor("BF16", values.shape, halves.tobytes(), halves.astype(np.uint32) << np.uint32(16))


def integers(dtype, values):
    return tensor(dtype, values.shape, values.tobytes())


def write(path, tensors, metadata=None, pad_to=8, extra_spaces=0):
    header, position = [], 0
    if metadata is not None:
        header.append(("__metadata__", metadata))
    for name, entry in tensors.items():
        end = position + len(entry["raw"])
        header.append((name, {"dtype": entry["dtype"], "shape": entry["shape"], "data_offsets": [position, end]}))
        position = end
    text = "{" + ",".join(dump(name) + ":" + dump(field) for name, field in header) + "}"
    encoded = text.encode("utf-8")
    encoded += b" " * (-len(encoded) % pad_to + extra_spaces)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + b"".join(entry["raw"] for entry in tensors.values()))


def dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def describe(tensors):
    return [
        {
            "name": name,
            "dtype": entry["dtype"],
            "shape": entry["shape"],
            "bytes": list(entry["raw"]),
            **({} if entry["floats"] is None else {"floatBits": [int(bits) for bits in entry["floats"]]}),
        }
        for name, entry in tensors.items()
    ]


SPECIAL = np.array([0.0, -0.0, 1.0, -2.5, np.inf, -np.inf, np.nan, 65504.0, 6e-8, 3.3e38, 1e-40], dtype=np.float32)
normal = lambda *shape: random.standard_normal(shape).astype(np.float32)

files = {
    "f32.safetensors": {
        "embedding.weight": f32(normal(4, 3)),
        "empty": f32(np.zeros((0, 4), dtype=np.float32)),
        "scalar": f32(np.array(-0.1, dtype=np.float32)),
        "special": f32(SPECIAL),
    },
    "f16.safetensors": {
        "subnormal": f16((random.integers(-1023, 1024, 24) * 2.0**-24).astype(np.float32)),
        "weight": f16(normal(3, 2, 2)),
        "special": f16(np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 65504.0, 6e-8], dtype=np.float32)),
    },
    "bf16.safetensors": {"scalar": bf16(np.array(3.14159, dtype=np.float32)), "special": bf16(SPECIAL), "weight": bf16(normal(5, 5))},
    "f64.safetensors": {"special": f64(SPECIAL.astype(np.float64)), "weight": f64(random.standard_normal((3, 3)) * 1e3), "wide": f64(np.array([1e300, -1e300, 1e-300, 16777217.0]))},
    # Odd names, unaligned data after one BF16 element, integers, and a header padded far beyond need.
    "mixed.safetensors": {
        "one": bf16(normal(1)),
        "__proto__": f32(normal(2)),
        "größe \"x\"\n": f16(normal(3)),
        "position_ids": integers("I64", np.arange(-2, 3, dtype="<i8")),
        "mask": integers("BOOL", np.array([True, False, True])),
        "": f32(normal(1, 1, 1)),
    },
    # What a writer that follows the reference library produces: wide formats first, then names; padded to 8.
    "written.safetensors": {"b.bias": f32(normal(3)), "c.weight": f32(normal(2, 2)), "a.weight": bf16(normal(3, 1)), "d.weight": f16(normal(1, 5))},
}
metadata = {"f32.safetensors": {"format": "pt", "note": "größe"}, "written.safetensors": {"format": "pt"}}
for name, tensors in files.items():
    write(FOLDER / name, tensors, metadata.get(name), extra_spaces=1003 if name == "mixed.safetensors" else 0)

config = {"model_type": "llama", "hidden_size": 4, "rope_theta": 10000.0}
shards = {
    "model-00001-of-00002.safetensors": {"model.embed_tokens.weight": f32(normal(6, 4)), "model.norm.weight": bf16(normal(4))},
    "model-00002-of-00002.safetensors": {"lm_head.weight": f16(normal(6, 4))},
}
for name, tensors in shards.items():
    write(FOLDER / "sharded" / name, tensors, {"format": "pt"})
index = {
    "metadata": {"total_size": sum(len(entry["raw"]) for tensors in shards.values() for entry in tensors.values())},
    "weight_map": {name: shard for shard, tensors in shards.items() for name in tensors},
}
whole = {name: entry for tensors in shards.values() for name, entry in tensors.items()}
write(FOLDER / "single" / "model.safetensors", whole, {"format": "pt"})
for folder in ["sharded", "single"]:
    (FOLDER / folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
(FOLDER / "sharded" / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")

# Rounding: random patterns of every exponent, and patterns on and beside the ties of both formats.
patterns = random.integers(0, 2**32, 300, dtype=np.uint32)
ties = np.concatenate([patterns[:100] & np.uint32(0xFFFF0000) | np.uint32(0x8000), (patterns[:100] & np.uint32(0x87FFE000)) + np.uint32(0x34001000)])
patterns = np.unique(np.concatenate([patterns, ties, ties + np.uint32(1), ties - np.uint32(1), bits_of(SPECIAL), bits_of(np.array([65519.996, 65520.0, 2.0**-25, 2.9802326e-08, 2.0**-14], dtype=np.float32))]))
patterns = patterns[~np.isnan(patterns.view(np.float32))]
with np.errstate(over="ignore"):
    halves = patterns.view(np.float32).astype(np.float16).view(np.uint16)

expected = {
    "generator": "tools/golden/make-checkpoint-fixtures.py",
    "command": COMMAND,
    "versions": {"python": sys.version.split()[0], "numpy": np.__version__},
    "files": [{"file": name, "metadata": metadata.get(name, {}), "tensors": describe(tensors)} for name, tensors in files.items()],
    "config": config,
    "checkpoint": describe(whole),
    "shardOf": index["weight_map"],
    "rounding": {
        "F32": [int(bits) for bits in patterns],
        "F16": [int(bits) for bits in halves],
        "BF16": [nearest_bfloat16(bits) for bits in patterns],
    },
}
(FOLDER / "expected.json").write_text(json.dumps(expected, separators=(",", ":"), ensure_ascii=False) + "\n")
