"""Prints test/golden/rope.json: the rotary frequencies and magnitudes of transformers for every scaling, short texts and long ones. Leaves
out whole models (families.py has those).

Needs torch and transformers. Run: python test/peers/rope.py > test/golden/rope.json
"""

import json

import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

SIZES = {"hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 256}
FACTORS = {"short_factor": [1 + 0.1 * i for i in range(8)], "long_factor": [1 + i for i in range(8)]}
CASES = {
    "default": {"rope_type": "default", "rope_theta": 500000.0},
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5},
    "dynamic": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 3.0},
    "yarn": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64},
    "yarn-whole": {
        "rope_type": "yarn",
        "rope_theta": 1000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 64,
        "beta_fast": 8.0,
        "beta_slow": 0.5,
        "mscale": 0.7,
        "mscale_all_dim": 1.3,
        "truncate": False,
    },
    "llama3": {
        "rope_type": "llama3",
        "rope_theta": 10000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "longrope": {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 64, **FACTORS},
}


def measure(parameters, length):
    """Frequencies, and what multiplies cosines and sines, for a text of that many tokens."""
    config = LlamaConfig(**SIZES, rope_parameters=dict(parameters))
    if parameters["rope_type"] == "default":
        frequencies, magnitude = LlamaRotaryEmbedding.compute_default_rope_parameters(config)
    else:
        frequencies, magnitude = ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, seq_len=length)
    return {"length": length, "frequencies": [float(f) for f in frequencies], "magnitude": float(magnitude)}


def main():
    cases = [
        {"name": name, "config": {**SIZES, "rope_parameters": parameters}, "texts": [measure(parameters, n) for n in (40, 500)]}
        for name, parameters in CASES.items()
    ]
    print(json.dumps({"transformers": transformers.__version__, "cases": cases}))


if __name__ == "__main__":
    main()
