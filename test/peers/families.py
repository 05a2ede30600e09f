"""Tiny random models of every family that the embedded engine runs, and what the real transformers computes with them.

    python test/peers/families.py FOLDER [--only NAME ...]   writes FOLDER/<case> for each case and prints the list of them as JSON
    python test/peers/families.py --list                     prints their names only

FOLDER/<case> is a whole model (config.json, model.safetensors, a word-level tokenizer) with two more files. `expected.json` holds
`sequences` of token ids, and under `greedy` some prompts with the tokens that cached greedy generation puts after each, and the
`margins` by which each token won: where one is tiny, another sum of the same numbers may choose otherwise. `expected.f32` holds the
logits after every token of all sequences, one row of `vocabulary` little-endian floats each, and `expected.f64` what the same model
gives in float64, which says how much of a difference is float32's own rounding. Eager attention, by the model as transformers loads it from the folder, anew for each sequence, since scaled positions remember the longest one.
FOLDER/<case>-lora are PEFT adapters of some cases: the same files, with `base` in expected.json.

Each case proves itself: a key of its `unlike` changes the logits, one of its `like` does not, `old` spellings of its files change
no bit, no tensor is missing, and no expert is chosen by a hair. Left out: padding, other precisions, sampling, quantized weights.
Needs torch, transformers, peft and safetensors.
"""

import argparse
import copy
import json
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

warnings.filterwarnings("ignore")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()
torch.set_num_threads(1)

VOCABULARY = 96
# Where scaled positions begin: the first sequence goes beyond it, the second does not, and both prompts grow past it.
ORIGINAL = 20
LENGTHS = [40, 12]
PROMPTS = [10, 26]
NEW_TOKENS = 24
# A window that most tokens outgrow.
WINDOW = 7
FULL, SLIDING = "full_attention", "sliding_attention"
# Of an edit: the key is taken out.
GONE = object()

LLAMA = dict(
    vocab_size=VOCABULARY, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=80, pad_token_id=0, bos_token_id=None, eos_token_id=1,
)
NEOX = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
GPT2 = dict(
    vocab_size=VOCABULARY, n_embd=48, n_layer=3, n_head=4, n_positions=80, pad_token_id=0, bos_token_id=None, eos_token_id=1,
)
# What a family's sizes have beside or instead of Llama's.
SIZES = {
    "ministral": dict(head_dim=12), "ministral3": dict(head_dim=16), "qwen3": dict(head_dim=16), "gemma2": dict(head_dim=16),
    "gemma3_text": dict(head_dim=16, num_hidden_layers=4),
    "qwen3_moe": dict(head_dim=16, moe_intermediate_size=24, num_experts=6, num_experts_per_tok=2),
    "mixtral": dict(intermediate_size=32, num_local_experts=5),
}
VISION = dict(
    model_type="siglip_vision_model", hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
    image_size=28, patch_size=14,
)


@dataclass
class Case:
    """A model, and what is written instead of what transformers writes: `old` keys of config.json, `names` of tensors; a sparse
    config.json leaves out all that is the family's default."""

    family: str
    config: dict
    old: dict
    names: Callable | None
    unlike: Sequence[dict]
    like: Sequence[dict]
    is_sparse: bool


def case(family, old=None, names=None, unlike=(), like=(), is_sparse=False, **config):
    return Case(family, config, old or {}, names, unlike, like, is_sparse)


def rope(kind, **fields):
    """`rope_parameters` with a theta that is no family's own."""
    return {"rope_type": kind, "rope_theta": 500.0, **fields}


def hub(**keys):
    """Keys as files of transformers 4 have them."""
    return {
        "rope_parameters": GONE, "dtype": GONE, "torch_dtype": "float32", "transformers_version": "4.44.0",
        "_name_or_path": "somebody/something", **keys,
    }


LINEAR = rope("linear", factor=3.0)
DYNAMIC = rope("dynamic", factor=4.0)
YARN = rope("yarn", factor=4.0, original_max_position_embeddings=ORIGINAL)
LLAMA3 = rope(
    "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=ORIGINAL)
SHORT, LONG = [1.0, 1.05, 1.1, 1.3, 1.5, 1.9], [1.1, 1.5, 2.0, 2.8, 4.5, 7.0]
LONGROPE = rope("longrope", short_factor=SHORT, long_factor=LONG, original_max_position_embeddings=ORIGINAL)
THETA = rope("default", rope_theta=300.0)
PLAIN = [{"rope_parameters": rope("default")}]


def old_rope(parameters, **keys):
    """The keys of transformers 4 for a flat `rope_parameters`."""
    scaling = {key: value for key, value in parameters.items() if key not in ("rope_theta", "rope_type")}
    kind = parameters["rope_type"]
    scaling = None if kind == "default" else {"type": kind, **scaling}
    return hub(rope_theta=parameters["rope_theta"], rope_scaling=scaling, **keys)


def instead(parameters, **fields):
    """The edit that changes some of the `rope_parameters`."""
    return {"rope_parameters": {**parameters, **fields}}


def bare(prefix):
    """The names of a model that was saved without its head: the first part left out."""

    def rename(tensors):
        return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}

    return rename


def hub_gpt2(tensors):
    """As the first files of GPT-2, with masks among the weights."""
    tensors = bare("transformer.")(tensors)
    for layer in range(3):
        tensors[f"h.{layer}.attn.bias"] = torch.ones(80, 80).tril().reshape(1, 1, 80, 80)
        tensors[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    return tensors


def hub_neox(tensors):
    """As the first files of Pythia, with masks and frequencies among the weights."""
    for layer in range(3):
        place = f"gpt_neox.layers.{layer}.attention."
        tensors[place + "bias"] = torch.ones(80, 80, dtype=torch.bool).tril().reshape(1, 1, 80, 80)
        tensors[place + "masked_bias"] = torch.tensor(-1e9)
        tensors[place + "rotary_emb.inv_freq"] = torch.ones(1)
    return tensors


def head_neox(tensors):
    """The head by its name in memory."""
    return {name.replace("embed_out.", "lm_head."): tensor for name, tensor in tensors.items()}


def with_frequencies(tensors):
    """As the first files of Llama, with frequencies of each layer that nothing reads."""
    return tensors | {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(6) for layer in range(3)}


def with_head(tensors):
    """A tied head that is in the file nevertheless."""
    return tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}


def head_instead(tensors):
    """A tied table that is in the file as the head only."""
    return {name.replace("model.embed_tokens.", "lm_head."): tensor for name, tensor in tensors.items()}


def packed(tensors):
    """Experts as transformers 5 holds them in memory: all gates and ups in one tensor, all downs in another."""
    gate, up, down = ("w1", "w3", "w2") if any(".w1." in name for name in tensors) else ("gate_proj", "up_proj", "down_proj")
    out = {name: tensor for name, tensor in tensors.items() if ".experts." not in name}
    for place in sorted({name.partition(".experts.")[0] + ".experts" for name in tensors if ".experts." in name}):
        count = sum(name.startswith(f"{place}.") for name in tensors) // 3
        gates, ups, downs = (
            torch.stack([tensors[f"{place}.{number}.{part}.weight"] for number in range(count)]) for part in (gate, up, down))
        out[f"{place}.gate_up_proj"] = torch.cat([gates, ups], dim=1)
        out[f"{place}.down_proj"] = downs
    return {name.replace("block_sparse_moe", "mlp"): tensor for name, tensor in out.items()}


def without_vision(tensors):
    """The text part alone."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith("language_model.")}


def nested(full=None, sliding=None):
    """Positions of each kind of layer."""
    return {FULL: full or rope("default"), SLIDING: sliding or rope("default", rope_theta=60.0)}


def untyped(**keys):
    """A file that leaves out which layers slide."""
    return {"layer_types": GONE, **keys}


BIASES = dict(attention_bias=True, mlp_bias=True)
ACTIVATIONS = ["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu", "relu", "relu2", "swish", "tanh", "sigmoid"]
MOE = dict(unlike=[{"num_experts_per_tok": 1}])
GRANITE = dict(embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.15, logits_scaling=2.5)
GEMMA2 = dict(sliding_window=WINDOW, attn_logit_softcapping=1.5, final_logit_softcapping=3.0, query_pre_attn_scalar=10)
GEMMA3 = dict(sliding_window=WINDOW, query_pre_attn_scalar=10, sliding_window_pattern=2, rope_parameters=nested())
PHI3_LONG = dict(
    rope_parameters={**LONGROPE, "partial_rotary_factor": 1.0}, original_max_position_embeddings=ORIGINAL)
PHI3_PART = dict(
    rope_parameters={**LONGROPE, "partial_rotary_factor": 0.5, "short_factor": SHORT[:3], "long_factor": LONG[:3]},
    original_max_position_embeddings=ORIGINAL)
MINISTRAL3 = rope(
    "yarn", factor=4.0, original_max_position_embeddings=ORIGINAL, beta_fast=32.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0,
    llama_4_scaling_beta=0.4)

CASES = {
    # Llama: sizes, biases, activations.
    "llama": case("llama", unlike=[{"rms_norm_eps": 0.1}, {"rope_parameters": rope("default")}], like=[
        {"pretraining_tp": 4, "attention_dropout": 0.5, "initializer_range": 0.5, "use_cache": False, "partial_rotary_factor": 0.5},
        {"max_position_embeddings": 8}, {"hidden_act": "swish"}]),
    "llama-all-heads": case("llama", num_key_value_heads=None),
    "llama-one-head": case("llama", num_key_value_heads=1),
    "llama-head-dim": case("llama", head_dim=16),
    "llama-tied": case("llama", tie_word_embeddings=True),
    "llama-tied-head": case("llama", tie_word_embeddings=True, names=with_head),
    "llama-tied-head-only": case("llama", tie_word_embeddings=True, names=head_instead),
    "llama-tied-in-vain": case("llama", old={"tie_word_embeddings": True}),
    "llama-bare": case("llama", tie_word_embeddings=True, names=bare("model.")),
    "llama-attention-bias": case("llama", attention_bias=True),
    "llama-mlp-bias": case("llama", mlp_bias=True),
    **{f"llama-{name.replace('_', '-')}": case("llama", hidden_act=name, **BIASES) for name in ACTIVATIONS},
    # Llama: every scaling of positions, new and old.
    "llama-theta": case("llama", rope_parameters=THETA, unlike=[instead(THETA, rope_theta=310.0)]),
    "llama-theta-old": case("llama", rope_parameters=THETA, old=old_rope(THETA), names=with_frequencies),
    "llama-linear": case("llama", rope_parameters=LINEAR, unlike=PLAIN),
    "llama-linear-old": case("llama", rope_parameters=LINEAR, old=old_rope(LINEAR)),
    "llama-dynamic": case("llama", rope_parameters=DYNAMIC, max_position_embeddings=ORIGINAL, unlike=PLAIN, like=[
        instead(DYNAMIC, original_max_position_embeddings=8)]),
    "llama-dynamic-old": case(
        "llama", rope_parameters=DYNAMIC, max_position_embeddings=ORIGINAL, old=old_rope(DYNAMIC)),
    "llama-yarn": case("llama", rope_parameters=YARN, unlike=[*PLAIN, instead(YARN, factor=2.0)], like=[
        instead(YARN, beta_fast=32, beta_slow=1, truncate=True), {"max_position_embeddings": 400},
        instead(YARN, mscale=0.7), instead(YARN, mscale_all_dim=0.7)]),
    "llama-yarn-old": case("llama", rope_parameters=YARN, old=old_rope(YARN)),
    "llama-yarn-beta": case("llama", head_dim=24, rope_parameters={**YARN, "beta_fast": 1.0, "beta_slow": 0.25}, unlike=[
        instead(YARN, beta_slow=0.25), instead(YARN, beta_fast=1.0)]),
    "llama-yarn-whole": case("llama", rope_parameters={**YARN, "truncate": False}, unlike=[instead(YARN)]),
    "llama-yarn-attention": case("llama", rope_parameters={**YARN, "attention_factor": 0.8}, unlike=[instead(YARN)]),
    "llama-yarn-mscale": case("llama", rope_parameters={**YARN, "mscale": 2.0, "mscale_all_dim": 0.6}, unlike=[instead(YARN)]),
    "llama-yarn-ratio": case("llama", rope_parameters={**YARN, "factor": None}, like=[instead(YARN)]),
    "llama-yarn-maximum": case(
        "llama", rope_parameters={**YARN, "original_max_position_embeddings": 80},
        old={"rope_parameters": {key: value for key, value in YARN.items() if key != "original_max_position_embeddings"}}),
    "llama-yarn-outside": case("llama", rope_parameters=YARN, old={
        "rope_parameters": {**YARN, "original_max_position_embeddings": 77}, "original_max_position_embeddings": ORIGINAL}),
    "llama-llama3": case("llama", rope_parameters=LLAMA3, unlike=[
        *PLAIN, instead(LLAMA3, low_freq_factor=2.0), instead(LLAMA3, high_freq_factor=8.0)]),
    "llama-llama3-old": case("llama", rope_parameters=LLAMA3, old=hub(
        rope_theta=500.0, rope_scaling={key: value for key, value in LLAMA3.items() if key != "rope_theta"})),
    "llama-longrope": case("llama", rope_parameters=LONGROPE, unlike=[
        *PLAIN, instead(LONGROPE, long_factor=SHORT), instead(LONGROPE, factor=8.0)], like=[instead(LONGROPE, factor=4.0)]),
    "llama-longrope-attention": case("llama", rope_parameters={**LONGROPE, "attention_factor": 1.4}, unlike=[instead(LONGROPE)]),
    "llama-longrope-old": case("llama", rope_parameters=LONGROPE, old=old_rope(LONGROPE)),
    "llama-precedence": case("llama", rope_parameters=LINEAR, old={
        "rope_parameters": DYNAMIC, "rope_scaling": {"rope_type": "linear", "type": "dynamic", "factor": 3.0}, "rope_theta": 500.0}),
    # SmolLM3: layers without positions, which may slide.
    "smollm3": case("smollm3", num_hidden_layers=4, unlike=[{"no_rope_layers": [1, 1, 1, 1]}, {"num_key_value_heads": 2,
        "rope_parameters": rope("default", rope_theta=1e4)}]),
    "smollm3-interval": case("smollm3", no_rope_layer_interval=2, old={"no_rope_layers": GONE, "layer_types": GONE}),
    "smollm3-layers": case("smollm3", no_rope_layers=[0, 1, 0], tie_word_embeddings=False, **BIASES),
    "smollm3-sliding": case(
        "smollm3", no_rope_layers=[1, 0, 1], use_sliding_window=True, sliding_window=WINDOW, old=untyped(),
        unlike=[{"use_sliding_window": False}]),
    "smollm3-layer-types": case(
        "smollm3", layer_types=[SLIDING, FULL, FULL], sliding_window=WINDOW, unlike=[{"layer_types": [FULL] * 3}],
        like=[{"use_sliding_window": True}]),
    "smollm3-yarn-old": case("smollm3", rope_parameters=YARN, old=old_rope(YARN)),
    # Mistral and its descendants.
    "mistral": case("mistral", sliding_window=WINDOW, unlike=[{"sliding_window": None}, {"sliding_window": WINDOW + 1}], like=[
        {"attention_bias": True, "mlp_bias": True}]),
    "mistral-full": case("mistral", sliding_window=None, head_dim=16),
    "mistral-default-old": case("mistral", old=old_rope(THETA, sliding_window=GONE, head_dim=GONE), rope_parameters=THETA),
    "mistral-yarn": case("mistral", sliding_window=WINDOW, rope_parameters=YARN),
    "mistral-layer-types": case("ministral", sliding_window=WINDOW, layer_types=[FULL, SLIDING, FULL], old={
        "model_type": "mistral", "architectures": ["MistralForCausalLM"]}),
    "ministral": case("ministral", sliding_window=WINDOW, old=untyped(), unlike=[{"layer_types": [FULL] * 3}]),
    "ministral-layer-types": case("ministral", sliding_window=WINDOW, layer_types=[SLIDING, FULL, SLIDING]),
    "ministral-full": case("ministral", sliding_window=WINDOW, layer_types=[FULL] * 3),
    "ministral3": case("ministral3", rope_parameters=MINISTRAL3, unlike=[instead(MINISTRAL3, llama_4_scaling_beta=0.0)], like=[
        instead(MINISTRAL3, max_position_embeddings=5)]),
    "ministral3-sliding": case("ministral3", rope_parameters=rope(
        "default", llama_4_scaling_beta=0.3, original_max_position_embeddings=9), sliding_window=WINDOW),
    "ministral3-old": case("ministral3", rope_parameters=MINISTRAL3, old=old_rope(MINISTRAL3)),
    "ministral3-default": case("ministral3", old={"rope_parameters": GONE}),
    # Qwen.
    "qwen2": case("qwen2", like=[{"attention_bias": False}, {"sliding_window": 4, "max_window_layers": 0}]),
    "qwen2-tied-old": case("qwen2", tie_word_embeddings=True, rope_parameters=THETA, old=old_rope(THETA, layer_types=GONE)),
    "qwen2-sliding": case(
        "qwen2", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1, old=untyped(),
        unlike=[{"max_window_layers": 2}, {"max_window_layers": 0}, {"use_sliding_window": False}]),
    "qwen2-sliding-never": case("qwen2", use_sliding_window=True, sliding_window=WINDOW, old=untyped(max_window_layers=GONE)),
    "qwen2-layer-types": case(
        "qwen2", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=0, layer_types=[SLIDING, FULL, SLIDING]),
    "qwen2-head-dim": case("qwen2", head_dim=16),
    "qwen2-yarn-old": case("qwen2", rope_parameters=YARN, old=old_rope(YARN, layer_types=GONE)),
    "qwen3": case("qwen3", like=[{"sliding_window": 4, "max_window_layers": 0}]),
    "qwen3-bias": case("qwen3", attention_bias=True, tie_word_embeddings=True),
    "qwen3-sliding": case("qwen3", use_sliding_window=True, sliding_window=WINDOW, max_window_layers=2, old=untyped()),
    "qwen3-yarn-old": case("qwen3", rope_parameters=YARN, old=old_rope(YARN, layer_types=GONE)),
    "qwen3-moe": case("qwen3_moe", **MOE, like=[{"router_aux_loss_coef": 0.5, "max_window_layers": 0, "shared_expert": 1}]),
    "qwen3-moe-normed": case("qwen3_moe", norm_topk_prob=True, unlike=[{"norm_topk_prob": False}]),
    "qwen3-moe-mixed": case(
        "qwen3_moe", num_hidden_layers=4, decoder_sparse_step=2, mlp_only_layers=[3], attention_bias=True),
    "qwen3-moe-one": case("qwen3_moe", num_experts_per_tok=1, tie_word_embeddings=True),
    "qwen3-moe-sliding": case("qwen3_moe", use_sliding_window=True, sliding_window=WINDOW, unlike=[{"use_sliding_window": False}]),
    "qwen3-moe-old": case("qwen3_moe", rope_parameters=THETA, norm_topk_prob=True, old=old_rope(
        THETA, num_local_experts=GONE, num_experts=6, max_window_layers=3, sliding_window=4)),
    "qwen3-moe-packed": case("qwen3_moe", names=packed),
    "mixtral": case("mixtral", **MOE, like=[{"router_jitter_noise": 0.5, "router_aux_loss_coef": 0.5}]),
    "mixtral-sliding": case("mixtral", sliding_window=WINDOW, num_experts_per_tok=3, head_dim=16),
    "mixtral-one": case("mixtral", num_experts_per_tok=1, hidden_act="gelu"),
    "mixtral-llama3": case("mixtral", rope_parameters=LLAMA3),
    "mixtral-old": case("mixtral", rope_parameters=THETA, old=old_rope(THETA, head_dim=GONE, sliding_window=None)),
    "mixtral-packed": case("mixtral", names=packed),
    # Gemma.
    "gemma2": case("gemma2", **GEMMA2, old=untyped(), unlike=[
        {"attn_logit_softcapping": None}, {"final_logit_softcapping": None}, {"query_pre_attn_scalar": 16},
        {"layer_types": [FULL, SLIDING, FULL]}], like=[{"hidden_act": "relu", "cache_implementation": "hybrid"}]),
    "gemma2-uncapped": case("gemma2", **{**GEMMA2, "attn_logit_softcapping": None, "final_logit_softcapping": None}),
    "gemma2-layer-types": case("gemma2", **GEMMA2, layer_types=[FULL, FULL, SLIDING], attention_bias=True),
    "gemma2-untied": case("gemma2", **GEMMA2, tie_word_embeddings=False, hidden_activation="gelu"),
    "gemma2-old": case("gemma2", **GEMMA2, rope_parameters=THETA, old=old_rope(
        THETA, layer_types=GONE, tie_word_embeddings=GONE, hidden_act="gelu_pytorch_tanh")),
    "gemma2-yarn": case("gemma2", **GEMMA2, rope_parameters=YARN),
    "gemma3": case("gemma3_text", **GEMMA3, unlike=[
        {"rope_parameters": nested(sliding=rope("default"))}, {"layer_types": [SLIDING] * 4}],
        like=[{"attn_logit_softcapping": 0.5, "sliding_window_pattern": 3, "_sliding_window_pattern": 3}]),
    "gemma3-pattern-old": case("gemma3_text", **GEMMA3, old=hub(
        layer_types=GONE, _sliding_window_pattern=GONE, sliding_window_pattern=2, rope_theta=500.0, rope_local_base_freq=60.0,
        rope_scaling=None, tie_word_embeddings=GONE)),
    "gemma3-default": case("gemma3_text", sliding_window=WINDOW, num_hidden_layers=7, old=untyped(
        rope_parameters=GONE, query_pre_attn_scalar=GONE, _sliding_window_pattern=GONE)),
    "gemma3-linear-old": case("gemma3_text", **{**GEMMA3, "rope_parameters": nested(LINEAR)}, old=hub(
        rope_theta=500.0, rope_local_base_freq=60.0, rope_scaling={"rope_type": "linear", "factor": 3.0})),
    "gemma3-type-old": case("gemma3_text", **GEMMA3, old=hub(
        rope_theta=500.0, rope_local_base_freq=60.0, rope_scaling={"type": "linear", "factor": 3.0})),
    "gemma3-yarn": case("gemma3_text", **{**GEMMA3, "rope_parameters": nested(YARN)}, like=[
        {"rope_parameters": nested({**YARN, "truncate": False})}]),
    "gemma3-dynamic": case(
        "gemma3_text", **{**GEMMA3, "rope_parameters": nested(DYNAMIC)}, max_position_embeddings=ORIGINAL),
    "gemma3-capped": case("gemma3_text", **GEMMA3, final_logit_softcapping=2.0, attention_bias=True, tie_word_embeddings=False),
    "gemma3-with-vision": case("gemma3", **GEMMA3),
    "gemma3-text-part": case("gemma3", **GEMMA3, final_logit_softcapping=2.0, names=without_vision),
    # Phi.
    "phi3": case("phi3", like=[{"resid_pdrop": 0.5, "embd_pdrop": 0.5, "original_max_position_embeddings": 8}]),
    "phi3-sliding": case("phi3", sliding_window=WINDOW, num_key_value_heads=None, unlike=[{"sliding_window": None}]),
    "phi3-partial": case("phi3", rope_parameters=rope("default", partial_rotary_factor=0.5), tie_word_embeddings=True),
    "phi3-partial-old": case("phi3", rope_parameters=rope("default", partial_rotary_factor=0.7), old=hub(
        rope_theta=500.0, rope_scaling=None, partial_rotary_factor=0.7)),
    "phi3-longrope": case("phi3", **PHI3_LONG, unlike=[{"original_max_position_embeddings": GONE}], like=[
        instead(PHI3_LONG["rope_parameters"], original_max_position_embeddings=33)]),
    "phi3-longrope-old": case("phi3", **PHI3_LONG, old=hub(
        rope_theta=500.0, rope_scaling={"type": "longrope", "short_factor": SHORT, "long_factor": LONG})),
    "phi3-su-old": case("phi3", **PHI3_LONG, old=hub(
        rope_theta=500.0, rope_scaling={
            "type": "su", "short_factor": SHORT, "long_factor": LONG, "original_max_position_embeddings": ORIGINAL})),
    "phi3-longrope-partial": case("phi3", **PHI3_PART),
    "phi3-longrope-partial-old": case("phi3", **PHI3_PART, tie_word_embeddings=True, old=hub(
        rope_theta=500.0, partial_rotary_factor=0.5, attention_bias=False,
        rope_scaling={"type": "longrope", "short_factor": SHORT[:3], "long_factor": LONG[:3]})),
    # OLMo.
    "olmo": case("olmo", like=[{"rms_norm_eps": 0.1, "layer_norm_eps": 0.1}]),
    "olmo-clip": case("olmo", clip_qkv=0.7, attention_bias=True, unlike=[{"clip_qkv": None}]),
    "olmo-tied-old": case("olmo", tie_word_embeddings=True, rope_parameters=LINEAR, old=old_rope(LINEAR)),
    "olmo2": case("olmo2"),
    "olmo2-bias": case("olmo2", attention_bias=True, tie_word_embeddings=True),
    "olmo2-old": case("olmo2", rope_parameters=DYNAMIC, max_position_embeddings=ORIGINAL, old=old_rope(DYNAMIC)),
    "olmo3": case("olmo3", num_hidden_layers=4, sliding_window=WINDOW, old=untyped(rope_parameters=GONE)),
    "olmo3-layer-types": case(
        "olmo3", sliding_window=WINDOW, layer_types=[FULL, SLIDING, SLIDING], rope_parameters=nested(), attention_bias=True),
    "olmo3-yarn": case("olmo3", num_hidden_layers=4, sliding_window=WINDOW, rope_parameters=nested(YARN, rope("default"))),
    "olmo3-longrope": case("olmo3", num_hidden_layers=4, sliding_window=WINDOW, rope_parameters=nested(LONGROPE)),
    "olmo3-yarn-old": case(
        "olmo3", num_hidden_layers=4, sliding_window=WINDOW,
        rope_parameters=nested({**YARN, "rope_theta": 5e5}, rope("default", rope_theta=5e5)), old=hub(
            layer_types=GONE, rope_theta=5e5,
            rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": ORIGINAL})),
    "olmo3-theta-old": case(
        "olmo3", num_hidden_layers=4, sliding_window=WINDOW, rope_parameters=nested(sliding=rope("default", rope_theta=5e5)),
        old=hub(rope_theta=500.0)),
    "olmo3-flat": case(
        "olmo3", num_hidden_layers=4, sliding_window=WINDOW, rope_parameters=None, old={"rope_parameters": rope("default")}),
    # Granite.
    "granite": case("granite", **GRANITE, unlike=[
        {"embedding_multiplier": 1.0}, {"residual_multiplier": 1.0}, {"attention_multiplier": 1.0}, {"logits_scaling": 1.0}]),
    "granite-default": case("granite", old={key: GONE for key in GRANITE}),
    "granite-tied-old": case("granite", **GRANITE, tie_word_embeddings=True, rope_parameters=THETA, old=old_rope(THETA)),
    "granite-bias": case("granite", **GRANITE, **BIASES, hidden_act="gelu", head_dim=16),
    # GPT-NeoX: Pythia.
    "gpt-neox": case("gpt_neox", unlike=[{"use_parallel_residual": False}, {"layer_norm_eps": 0.1}], like=[
        {"rope_theta": 500.0, "partial_rotary_factor": 1.0, "hidden_dropout": 0.5, "classifier_dropout": 0.5}]),
    "gpt-neox-sequential": case("gpt_neox", use_parallel_residual=False, hidden_act="gelu_new", attention_bias=False),
    "gpt-neox-old": case(
        "gpt_neox", rope_parameters=rope("default", partial_rotary_factor=0.5),
        old=hub(rotary_pct=0.5, rotary_emb_base=500), names=hub_neox),
    "gpt-neox-default-old": case("gpt_neox", old=hub()),
    "gpt-neox-whole": case(
        "gpt_neox", rope_parameters=rope("default", partial_rotary_factor=1.0), hidden_act="relu", names=head_neox),
    "gpt-neox-linear-old": case(
        "gpt_neox", rope_parameters={**LINEAR, "partial_rotary_factor": 0.5},
        old=hub(rotary_pct=0.5, rotary_emb_base=500, rope_scaling={"type": "linear", "factor": 3.0})),
    "gpt-neox-dynamic": case(
        "gpt_neox", rope_parameters={**DYNAMIC, "partial_rotary_factor": 0.5}, max_position_embeddings=ORIGINAL),
    "gpt-neox-yarn": case("gpt_neox", rope_parameters={**YARN, "partial_rotary_factor": 0.7}),
    "gpt-neox-tied": case("gpt_neox", tie_word_embeddings=True),
    # GPT-2.
    "gpt2": case("gpt2", like=[{"reorder_and_upcast_attn": True}, {"attn_pdrop": 0.5, "embd_pdrop": 0.5, "n_ctx": 8}], unlike=[
        {"layer_norm_epsilon": 0.1}]),
    "gpt2-hub": case("gpt2", names=hub_gpt2, old={
        "n_ctx": 80, "n_inner": GONE, "scale_attn_weights": GONE, "tie_word_embeddings": GONE, "activation_function": GONE}),
    "gpt2-untied": case("gpt2", tie_word_embeddings=False, n_inner=72, activation_function="relu"),
    "gpt2-unscaled": case("gpt2", scale_attn_weights=False, activation_function="gelu", unlike=[{"scale_attn_weights": True}]),
    "gpt2-layer-scale": case(
        "gpt2", scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True,
        unlike=[{"scale_attn_by_inverse_layer_idx": False}]),
}

FAMILIES = sorted({one.family for one in CASES.values()} - {"gemma3"})
CASES |= {f"{family.replace('_', '-')}-sparse": case(family, is_sparse=True) for family in FAMILIES}

# Adapters, by the case that is their base.
ADAPTERS = {
    "llama": dict(target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
    "qwen2": dict(target_modules=["q_proj", "v_proj", "down_proj"], bias="all"),
    "phi3": dict(target_modules=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"], use_rslora=True),
    "gpt2": dict(target_modules=["c_attn", "c_fc", "c_proj"], fan_in_fan_out=True),
    "gpt-neox": dict(target_modules=["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"]),
    "gemma2": dict(target_modules="all-linear", rank_pattern={"down_proj": 2}),
    "olmo2": dict(target_modules=["q_proj", "k_proj"], use_dora=True),
    "mixtral": dict(target_modules=["q_proj", "o_proj"]),
}


def build(name, one):
    """The model with random weights, all of them far from a neutral start."""
    if one.family == "gemma3":
        text = {**LLAMA, **SIZES["gemma3_text"], **one.config}
        config = AutoConfig.for_model("gemma3", text_config=text, vision_config=VISION, image_token_index=90)
    else:
        sizes = {"gpt_neox": NEOX, "gpt2": GPT2}.get(one.family, LLAMA)
        config = AutoConfig.for_model(one.family, **{**sizes, **SIZES.get(one.family, {}), **copy.deepcopy(one.config)})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    for place, value in model.named_parameters():
        mean, deviation = distribution(place, value, one.family)
        value.data = mean + deviation * torch.randn(value.shape, generator=generator)
    return model


def distribution(place, value, family):
    """Mean and standard deviation: projections keep the size of what they project, tables give logits of a few units."""
    *_, module, kind = place.split(".")
    if kind == "bias":
        return 0.0, 0.3
    if value.dim() == 1:
        # Gemma's norms add 1. The last norm has both signs: else a tied head would see the last token again and again.
        is_last = module in ("norm", "ln_f", "final_layer_norm")
        return (0.0 if is_last else 1.0) - (1.0 if family.startswith("gemma") else 0.0), (1.0 if is_last else 0.3)
    if module in ("embed_tokens", "embed_in", "wte", "wpe", "lm_head"):
        return 0.0, 2.0 / value.shape[1] ** 0.5
    width = value.shape[0] if family == "gpt2" else value.shape[-1]
    return 0.0, (2.0 if module in ("q_proj", "k_proj", "gate") else 1.3) / width**0.5


def load(folder, adapter=None):
    """The model of a folder as transformers loads it, wherever nothing of its text part is missing."""
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager", output_loading_info=True)
    missing = [name for name in info["missing_keys"] if "vision" not in name and "multi_modal" not in name]
    unexpected = [name for name in info["unexpected_keys"] if not name.endswith(".masked_bias")]
    if missing or unexpected or info["mismatched_keys"]:
        raise SystemExit(f"{folder}: missing {missing}, unexpected {unexpected}, {info['mismatched_keys']}")
    return (model if adapter is None else PeftModel.from_pretrained(model, adapter)).eval()


@torch.no_grad()
def run(model, tokens):
    """Logits [T, vocabulary] by a model that has seen nothing before."""
    return copy.deepcopy(model)(torch.tensor([tokens])).logits[0]


def run_double(model, sequences, logits):
    """The logits in float64; those in float32 where a model insists on those."""
    try:
        return torch.cat([run(copy.deepcopy(model).double(), tokens) for tokens in sequences])
    except RuntimeError as error:
        if "dtype" not in str(error):
            raise
        return logits.double()


@torch.no_grad()
def generate(model, prompt):
    model = copy.deepcopy(model)
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    tokens = torch.tensor([prompt])
    out = model.generate(
        input_ids=tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=NEW_TOKENS, do_sample=False, use_cache=True,
        return_dict_in_generate=True, output_logits=True)
    best = torch.cat(out.logits).topk(2).values
    found = out.sequences[0, len(prompt):].tolist()
    assert len(found) == NEW_TOKENS
    return {"prompt": prompt, "tokens": found, "margins": [round(one, 7) for one in (best[:, 0] - best[:, 1]).tolist()]}


def write_expected(folder, name, model, **facts):
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) ^ 1)
    drawn = [torch.randint(VOCABULARY, (length,), generator=generator).tolist() for length in [*LENGTHS, *PROMPTS]]
    sequences, prompts = drawn[: len(LENGTHS)], drawn[len(LENGTHS) :]
    logits = torch.cat([run(model, tokens) for tokens in sequences])
    assert logits.isfinite().all() and logits.std() > 0.3, (name, logits.std())
    (folder / "expected.f32").write_bytes(logits.numpy().astype("<f4").tobytes())
    (folder / "expected.f64").write_bytes(run_double(model, sequences, logits).numpy().astype("<f8").tobytes())
    greedy = [generate(model, prompt) for prompt in prompts]
    facts = {**facts, "vocabulary": VOCABULARY, "sequences": sequences, "greedy": greedy}
    (folder / "expected.json").write_text(json.dumps(facts) + "\n")
    return sequences, logits


def write_tokenizer(folder):
    """As createWordTokenizer of src/engine/model/tokenizer.ts."""
    specials = ["<pad>", "<eos>", "<unk>"]
    vocabulary = [*specials, *(f"w{number}" for number in range(len(specials), VOCABULARY))]
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": number, "content": text, **flags} for number, text in enumerate(specials)],
        "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: number for number, word in enumerate(vocabulary)}, "unk_token": "<unk>"},
    }
    config = dict(
        tokenizer_class="PreTrainedTokenizerFast", clean_up_tokenization_spaces=False, eos_token="<eos>", pad_token="<pad>",
        unk_token="<unk>")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(config) + "\n")


def edit(keys, edits):
    return {key: value for key, value in {**keys, **edits}.items() if value is not GONE}


def rewrite(folder, one):
    """Puts the old spellings of a case in place of the new ones."""
    config, weights = folder / "config.json", folder / "model.safetensors"
    keys = json.loads(config.read_text())
    if one.is_sparse:
        usual = AutoConfig.for_model(one.family).to_dict() | {"model_type": GONE}
        keys = {key: value for key, value in keys.items() if value != usual.get(key, GONE)}
        keys = edit(keys, {"rope_parameters": GONE, "layer_types": GONE, "dtype": GONE})
    config.write_text(json.dumps(edit(keys, one.old), indent=2) + "\n")
    if one.names is not None:
        save_file(one.names(load_file(weights)), weights, {"format": "pt"})


def check_keys(folder, one, tokens, logits):
    """That each edit of `unlike` would show in the logits, and none of `like` does."""
    config = folder / "config.json"
    text = config.read_text()
    for edits, is_like in [*((edits, False) for edits in one.unlike), *((edits, True) for edits in one.like)]:
        config.write_text(json.dumps(edit(json.loads(text), edits)))
        distance = (run(load(folder), tokens) - logits).abs().max().item()
        if distance > 1e-5 if is_like else distance < 1e-2:
            raise SystemExit(f"{folder}: {edits} changes the logits by {distance}")
    config.write_text(text)


def check_routes(folder, model, sequences):
    """That no expert wins by so little that another order of sums could choose another."""
    routers = [module for name, module in model.named_modules() if type(module).__name__.endswith("TopKRouter")]
    gaps = []

    def watch(module, inputs, output):
        best = output[0].softmax(-1).topk(module.top_k + 1).values
        gaps.append((best[:, -2] - best[:, -1]).min().item())

    handles = [module.register_forward_hook(watch) for module in routers]
    for tokens in sequences:
        run(model, tokens)
    for handle in handles:
        handle.remove()
    if gaps and min(gaps) < 1e-5:
        raise SystemExit(f"{folder}: an expert is chosen by {min(gaps)}")


def write_case(root, name, one):
    folder = root / name
    build(name, one).save_pretrained(folder)
    write_tokenizer(folder)
    if one.old or one.names is not None or one.is_sparse:
        before = run(load(folder), list(range(LENGTHS[0])))
        rewrite(folder, one)
        after = run(load(folder), list(range(LENGTHS[0])))
        if not torch.equal(before, after):
            raise SystemExit(f"{folder}: the old spelling changes the logits by {(before - after).abs().max()}")
    model = load(folder)
    sequences, logits = write_expected(folder, name, model, family=one.family)
    check_routes(folder, model, sequences)
    check_keys(folder, one, sequences[0], logits[: LENGTHS[0]])


def write_adapter(root, base, settings):
    folder = root / f"{base}-lora"
    model = load(root / base)
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", **settings))
    adapted.peft_config["default"].base_model_name_or_path = str(root / base)
    generator = torch.Generator().manual_seed(zlib.crc32(folder.name.encode()))
    for place, value in adapted.named_parameters():
        if value.requires_grad:
            value.data += 0.15 * torch.randn(value.shape, generator=generator)
    adapted.save_pretrained(folder)
    # Tokens as the base's, so that what the adapter changes shows.
    again = load(root / base, folder)
    sequences, logits = write_expected(folder, base, again, base=base)
    check_routes(folder, again, sequences)
    distance = (run(load(root / base), sequences[0]) - logits[: LENGTHS[0]]).abs().max()
    assert distance > 0.1, (folder, distance)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=CASES, default=list(CASES))
    parser.add_argument("--list", action="store_true", help="print the names and write nothing")
    arguments = parser.parse_args()
    if arguments.folder is None and not arguments.list:
        parser.error("give a folder to write to")
    written = []
    for name in arguments.only:
        if not arguments.list:
            write_case(arguments.folder.absolute(), name, CASES[name])
        written.append(name)
    for base in [name for name in arguments.only if name in ADAPTERS]:
        if not arguments.list:
            write_adapter(arguments.folder.absolute(), base, ADAPTERS[base])
        written.append(f"{base}-lora")
    json.dump(written, sys.stdout)
    print()


if __name__ == "__main__":
    main()
