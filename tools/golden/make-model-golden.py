"""Writes test/golden/model/<case>.json: what a Llama-style decoder, its gradients, AdamW and two
reinforcement-learning objectives must give, computed in float64 by a PyTorch model written here from the formulas.

Run: /usr/bin/python3 tools/golden/make-model-golden.py   (needs torch and numpy; takes seconds)
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch

GENERATOR = "tools/golden/make-model-golden.py"
COMMAND = f"/usr/bin/python3 {GENERATOR}"
GOLDEN = Path(__file__).resolve().parents[2] / "test" / "golden"
OUT = (Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN) / "model"

NUM_TOKENS = 7  # T: length of a row of tokens_BT
PAD = 0
OPTIMIZER = {
    "name": "AdamW",
    "numSteps": 20,
    "learningRate": 3e-3,
    "beta1": 0.9,
    "beta2": 0.98,
    "epsilon": 1e-8,
    "weightDecay": 0.01,
    "maxGradNorm": 1.0,
}


def hf_config(**chosen):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": 64,
        "rope_scaling": None,
        "torch_dtype": "float32",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": PAD,
        **chosen,
    }


CASES = {
    "gqa-untied": {
        "seed": 20240613,
        "config": hf_config(
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=4,
            vocab_size=29,
            rms_norm_eps=1e-5,
            rope_theta=10000.0,
            tie_word_embeddings=False,
        ),
        # (whole length, prompt length) of each sequence; a sequence of n tokens fills n - 1 positions
        "sequences": [(8, 3), (6, 2), (5, 3)],
        "rl_sequences": [(8, 3), (8, 2), (7, 4), (6, 2)],
    },
    "mha-tied": {
        "seed": 20240630,
        "config": hf_config(
            hidden_size=12,
            intermediate_size=20,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=6,
            vocab_size=23,
            rms_norm_eps=1e-6,
            rope_theta=500000.0,
            tie_word_embeddings=True,
        ),
        "sequences": [(6, 2), (8, 4), (4, 1)],
    },
    "biased": {
        "seed": 20261129,
        "config": hf_config(
            hidden_size=8,
            intermediate_size=12,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=4,
            vocab_size=19,
            rms_norm_eps=1e-6,
            rope_theta=10000.0,
            tie_word_embeddings=True,
            attention_bias=True,
            mlp_bias=True,
        ),
        "sequences": [(6, 2), (8, 4), (4, 1)],
    },
}


# ---- model -------------------------------------------------------------------------------------------------


def parameter_shapes(config):
    """Name -> shape, in the order in which parameters are drawn and written."""
    hidden, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    q_width = config["num_attention_heads"] * config["head_dim"]
    kv_width = config["num_key_value_heads"] * config["head_dim"]
    shapes = {"model.embed_tokens.weight": (vocab, hidden)}
    for n in range(config["num_hidden_layers"]):
        layer = f"model.layers.{n}"
        shapes[f"{layer}.input_layernorm.weight"] = (hidden,)
        shapes[f"{layer}.self_attn.q_proj.weight"] = (q_width, hidden)
        shapes[f"{layer}.self_attn.k_proj.weight"] = (kv_width, hidden)
        shapes[f"{layer}.self_attn.v_proj.weight"] = (kv_width, hidden)
        shapes[f"{layer}.self_attn.o_proj.weight"] = (hidden, q_width)
        shapes[f"{layer}.post_attention_layernorm.weight"] = (hidden,)
        shapes[f"{layer}.mlp.gate_proj.weight"] = (inner, hidden)
        shapes[f"{layer}.mlp.up_proj.weight"] = (inner, hidden)
        shapes[f"{layer}.mlp.down_proj.weight"] = (hidden, inner)
    shapes["model.norm.weight"] = (hidden,)
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, hidden)
    return add_biases(config, shapes)


def add_biases(config, shapes):
    """A bias after every projection whose part of the model has them."""
    result = {}
    for name, shape in shapes.items():
        result[name] = shape
        for part, flag in (("self_attn", "attention_bias"), ("mlp", "mlp_bias")):
            if config[flag] and f".{part}." in name:
                result[name.replace(".weight", ".bias")] = shape[:1]
    return result


def project(x, name, parameters):
    y = x @ parameters[f"{name}.weight"].T
    return y + parameters[f"{name}.bias"] if f"{name}.bias" in parameters else y


def round_to_float32(array):
    return np.asarray(array, dtype=np.float64).astype(np.float32).astype(np.float64)


def draw_parameters(config, rng):
    """Matrices and biases 0.3 * normal, norms 1 + 0.1 * normal, rounded to float32 and held in float64."""
    parameters = {}
    for name, shape in parameter_shapes(config).items():
        draw = rng.standard_normal(shape)
        value = 1 + 0.1 * draw if name.endswith("norm.weight") else 0.3 * draw
        parameters[name] = torch.tensor(round_to_float32(value))
    return parameters


def rms_norm(x, weight, eps):
    return x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + eps) * weight


def rotate(x_BHTD, theta):
    """RoPE, "rotate_half" convention: coordinate i turns with i + D/2 by the angle t * theta^(-2i/D)."""
    num_positions, dim = x_BHTD.shape[-2], x_BHTD.shape[-1]
    half = dim // 2
    frequency = torch.tensor([theta ** (-2.0 * i / dim) for i in range(half)], dtype=torch.float64)
    angle_TD = torch.arange(num_positions, dtype=torch.float64)[:, None] * frequency[None, :]
    cos, sin = angle_TD.cos().to(x_BHTD.dtype), angle_TD.sin().to(x_BHTD.dtype)
    first, second = x_BHTD[..., :half], x_BHTD[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def attend(x_BTD, layer, parameters, config):
    batch, num_positions, _ = x_BTD.shape
    heads, kv_heads, dim = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))

    def heads_of(which, count):
        y = project(x_BTD, f"{layer}.self_attn.{which}_proj", parameters)
        return y.reshape(batch, num_positions, count, dim).transpose(1, 2)

    q = rotate(heads_of("q", heads), config["rope_theta"])
    k = rotate(heads_of("k", kv_heads), config["rope_theta"]).repeat_interleave(heads // kv_heads, dim=1)
    v = heads_of("v", kv_heads).repeat_interleave(heads // kv_heads, dim=1)
    score = q @ k.transpose(-1, -2) / math.sqrt(dim)
    later = torch.ones(num_positions, num_positions, dtype=torch.bool).triu(1)
    probability = score.masked_fill(later, -math.inf).softmax(dim=-1)
    mixed = (probability @ v).transpose(1, 2).reshape(batch, num_positions, heads * dim)
    return project(mixed, f"{layer}.self_attn.o_proj", parameters)


def apply_mlp(x, layer, parameters):
    gate = project(x, f"{layer}.mlp.gate_proj", parameters)
    up = project(x, f"{layer}.mlp.up_proj", parameters)
    return project(gate * torch.sigmoid(gate) * up, f"{layer}.mlp.down_proj", parameters)


def hidden_states(parameters, config, tokens_BT):
    """The residual stream after the final norm. Attention is causal only: pads are ordinary tokens."""
    eps = config["rms_norm_eps"]
    x = parameters["model.embed_tokens.weight"][tokens_BT]
    for n in range(config["num_hidden_layers"]):
        layer = f"model.layers.{n}"
        x = x + attend(rms_norm(x, parameters[f"{layer}.input_layernorm.weight"], eps), layer, parameters, config)
        normed = rms_norm(x, parameters[f"{layer}.post_attention_layernorm.weight"], eps)
        x = x + apply_mlp(normed, layer, parameters)
    return rms_norm(x, parameters["model.norm.weight"], eps)


def logits_of(hidden_BTD, parameters, config):
    head = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return hidden_BTD @ parameters[head].T


def log_probs_of(logits_BTV, targets_BT):
    return logits_BTV.log_softmax(dim=-1).gather(-1, targets_BT[..., None])[..., 0]


# ---- batch and supervised loss -------------------------------------------------------------------------------


def draw_batch(config, sequences, rng):
    """tokens = sequence[:-1], targets = sequence[1:], weight 1 where the target lies beyond the prompt."""
    shape = (len(sequences), NUM_TOKENS)
    tokens, targets, weights = np.full(shape, PAD), np.full(shape, PAD), np.zeros(shape)
    for row, (length, num_prompt) in enumerate(sequences):
        sequence = rng.integers(3, config["vocab_size"], size=length)
        tokens[row, : length - 1] = sequence[:-1]
        targets[row, : length - 1] = sequence[1:]
        weights[row, num_prompt - 1 : length - 1] = 1
    return {
        "tokens_BT": torch.tensor(tokens),
        "targets_BT": torch.tensor(targets),
        "weights_BT": torch.tensor(weights),
    }


def supervised_loss(parameters, config, batch):
    logits_BTV = logits_of(hidden_states(parameters, config, batch["tokens_BT"]), parameters, config)
    nll_BT = -log_probs_of(logits_BTV, batch["targets_BT"])
    weights_BT = batch["weights_BT"].to(nll_BT.dtype)
    return (weights_BT * nll_BT).sum() / weights_BT.sum(), logits_BTV


def leaves(parameters, dtype):
    return {name: value.to(dtype).clone().requires_grad_(True) for name, value in parameters.items()}


def grad_norm_of(parameters):
    return math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in parameters.values()))


def first_step(parameters, config, batch, dtype):
    live = leaves(parameters, dtype)
    loss, logits_BTV = supervised_loss(live, config, batch)
    loss.backward()
    return {
        "logits_BTV": logits_BTV.detach(),
        "loss": float(loss),
        "gradients": {name: p.grad for name, p in live.items()},
        "gradNorm": grad_norm_of(live),
    }


def clip_gradients(parameters, max_norm):
    norm = grad_norm_of(parameters)
    coefficient = min(1.0, max_norm / (norm + 1e-6))
    for p in parameters.values():
        p.grad.mul_(coefficient)
    return norm


def train(parameters, config, batch, dtype):
    """Losses and norms are those before the update of their step; the norm is the one before clipping."""
    live = leaves(parameters, dtype)
    optimizer = torch.optim.AdamW(
        list(live.values()),
        lr=OPTIMIZER["learningRate"],
        betas=(OPTIMIZER["beta1"], OPTIMIZER["beta2"]),
        eps=OPTIMIZER["epsilon"],
        weight_decay=OPTIMIZER["weightDecay"],
    )
    losses, norms = [], []
    for _ in range(OPTIMIZER["numSteps"]):
        optimizer.zero_grad()
        loss, _ = supervised_loss(live, config, batch)
        loss.backward()
        losses.append(float(loss))
        norms.append(clip_gradients(live, OPTIMIZER["maxGradNorm"]))
        optimizer.step()
    return {
        "losses": losses,
        "gradNorms": norms,
        "finalLoss": float(supervised_loss(live, config, batch)[0]),
        "finalParameters": {name: p.detach() for name, p in live.items()},
    }


# ---- reinforcement learning ------------------------------------------------------------------------------------


def masked_mean(values_BT, mask_BT):
    return (values_BT * mask_BT).sum() / mask_BT.sum()


def entropy_of(logits_BTV):
    log_p = logits_BTV.log_softmax(dim=-1)
    return -(log_p.exp() * log_p).sum(dim=-1)


def away_from(values, edges, margin):
    return all(abs(float(v) - edge) > margin for v in values.flatten() for edge in edges)


GRPO = {"clipEpsilon": 0.2, "klCoefficient": 0.05}
GRPO_FORMULA = {
    "ratio": "exp(logProbs_BT - oldLogProbs_BT)",
    "policyLoss": "-sum(mask * min(ratio * A, clip(ratio, 1 - eps, 1 + eps) * A)) / sum(mask), A = advantages_B of the row",
    "k3": "exp(ref - logp) - (ref - logp) - 1",
    "kl": "sum(mask * k3) / sum(mask)",
    "loss": "policyLoss + klCoefficient * kl",
    "clipShare": "share of masked positions where the clipped branch is strictly smaller: ratio > 1 + eps with A > 0, or ratio < 1 - eps with A < 0",
    "outsideShare": "share of masked positions with ratio outside [1 - eps, 1 + eps], whatever the sign of A",
    "entropy": "sum(mask * -sum_v p log p) / sum(mask); reported, not part of the loss",
}


def draw_grpo(log_probs_BT, mask_BT, rng):
    """Old log-probs are the model's plus noise, redrawn until no ratio is near an edge of the clip range."""
    advantages_B = torch.tensor(round_to_float32([1.1, -0.8, 0.4, -0.7]))
    while True:
        noise = rng.standard_normal(log_probs_BT.shape) * 0.3
        old_BT = torch.tensor(round_to_float32(log_probs_BT.numpy() + noise)) * mask_BT
        ratio = (log_probs_BT - old_BT).exp()[mask_BT > 0]
        if away_from(ratio, (0.8, 1.2), 5e-3):
            break
    noise = rng.standard_normal(log_probs_BT.shape) * 0.4
    reference_BT = torch.tensor(round_to_float32(log_probs_BT.numpy() + noise)) * mask_BT
    return {"oldLogProbs_BT": old_BT, "referenceLogProbs_BT": reference_BT, "advantages_B": advantages_B}


def grpo_loss(log_probs_BT, mask_BT, given):
    eps = GRPO["clipEpsilon"]
    advantage_B1 = given["advantages_B"][:, None]
    ratio_BT = (log_probs_BT - given["oldLogProbs_BT"]).exp()
    clipped_BT = ratio_BT.clamp(1 - eps, 1 + eps)
    surrogate_BT = torch.minimum(ratio_BT * advantage_B1, clipped_BT * advantage_B1)
    gap_BT = given["referenceLogProbs_BT"] - log_probs_BT
    policy = -masked_mean(surrogate_BT, mask_BT)
    kl = masked_mean(gap_BT.exp() - gap_BT - 1, mask_BT)
    bound = ((ratio_BT > 1 + eps) & (advantage_B1 > 0)) | ((ratio_BT < 1 - eps) & (advantage_B1 < 0))
    outside = (ratio_BT > 1 + eps) | (ratio_BT < 1 - eps)
    return policy + GRPO["klCoefficient"] * kl, {
        "policyLoss": policy,
        "kl": kl,
        "clipShare": masked_mean(bound.double(), mask_BT),
        "outsideShare": masked_mean(outside.double(), mask_BT),
    }


def make_grpo(parameters, config, batch, rng):
    live = leaves(parameters, torch.float64)
    mask_BT = batch["weights_BT"]
    logits_BTV = logits_of(hidden_states(live, config, batch["tokens_BT"]), live, config)
    log_probs_BT = log_probs_of(logits_BTV, batch["targets_BT"])
    given = draw_grpo(log_probs_BT.detach(), mask_BT, rng)
    loss, parts = grpo_loss(log_probs_BT, mask_BT, given)
    loss.backward()
    return {
        **GRPO,
        "formula": GRPO_FORMULA,
        **given,
        "logProbs_BT": log_probs_BT.detach(),
        "loss": float(loss),
        **{name: float(value) for name, value in parts.items()},
        "entropy": float(masked_mean(entropy_of(logits_BTV), mask_BT)),
        "gradients": {name: p.grad for name, p in live.items()},
        "gradNorm": grad_norm_of(live),
    }


PPO = {
    "clipEpsilon": 0.1,
    "valueClipEpsilon": 0.1,
    "valueCoefficient": 0.5,
    "entropyCoefficient": 0.01,
}
PPO_FORMULA = {
    "sequenceLogProbs_B": "L_b = sum_t mask * logp",
    "ratio_B": "exp(L - oldSequenceLogProbs_B)",
    "policyLoss": "-mean_b min(ratio * A, clip(ratio, 1 - clipEpsilon, 1 + clipEpsilon) * A)",
    "values_B": "value_head.2(relu(value_head.1(relu(value_head.0(h))))), h = final-norm hidden state at position lastPromptIndex_B of the row; gradients flow through h into the model",
    "valueLoss": "0.5 * mean_b max((V - R)^2, (Vold + clip(V - Vold, -valueClipEpsilon, valueClipEpsilon) - R)^2)",
    "entropy": "sum(mask * -sum_v p log p) / sum(mask), over all masked positions of the batch",
    "loss": "policyLoss + valueCoefficient * valueLoss - entropyCoefficient * entropy",
    "clipShare": "share of rows where the clipped branch is strictly smaller: ratio > 1 + eps with A > 0, or ratio < 1 - eps with A < 0",
    "valueClipShare": "share of rows where the clipped squared error is strictly larger",
}


def value_activations(hidden_BD, parameters):
    """The pre-activations of the three layers; the last one, without its unit axis, is values_B."""
    outputs, x = [], hidden_BD
    for n in range(3):
        x = x if n == 0 else torch.relu(x)
        x = x @ parameters[f"value_head.{n}.weight"].T + parameters[f"value_head.{n}.bias"]
        outputs.append(x)
    return outputs


def draw_value_head(config, hidden_BD, rng):
    """Redrawn until every unit opens on some row past the first (whose value draw_ppo clips), some are shut on
    some row, and none sits near its kink."""
    hidden = config["hidden_size"]
    widths = [hidden, hidden // 4, hidden // 8, 1]
    while True:
        head = {}
        for n in range(3):
            head[f"value_head.{n}.weight"] = torch.tensor(
                round_to_float32(0.5 * rng.standard_normal((widths[n + 1], widths[n])))
            )
            head[f"value_head.{n}.bias"] = torch.tensor(round_to_float32(0.2 * rng.standard_normal(widths[n + 1])))
        first, second, _ = value_activations(hidden_BD, head)
        mixed = all(0 < float((a > 0).double().mean()) < 1 for a in (first, second))
        alive = all(bool((a[1:] > 0).any(dim=0).all()) for a in (first, second))
        if mixed and alive and away_from(torch.cat([first, second], dim=1), (0.0,), 1e-2):
            return head


def draw_ppo(log_probs_BT, mask_BT, values_B):
    """Offsets from the current policy and values, chosen so that both branches of every min and max occur."""
    sequence_B = (log_probs_BT * mask_BT).sum(dim=1)
    offset = {"log": [-0.21, 0.16, 0.043, -0.27], "value": [-0.26, 0.035, -0.31, 0.19], "target": [0.5, 0.3, -0.6, 0.4]}
    return {
        "oldSequenceLogProbs_B": torch.tensor(round_to_float32(sequence_B.numpy() + offset["log"])),
        "advantages_B": torch.tensor(round_to_float32([0.9, -1.2, 0.6, -0.5])),
        "oldValues_B": torch.tensor(round_to_float32(values_B.numpy() + offset["value"])),
        "returns_B": torch.tensor(round_to_float32(values_B.numpy() + offset["target"])),
    }


def ppo_loss(log_probs_BT, entropy_BT, values_B, mask_BT, given):
    eps, value_eps = PPO["clipEpsilon"], PPO["valueClipEpsilon"]
    advantage_B, old_B, return_B = given["advantages_B"], given["oldValues_B"], given["returns_B"]
    ratio_B = ((log_probs_BT * mask_BT).sum(dim=1) - given["oldSequenceLogProbs_B"]).exp()
    policy = -torch.minimum(ratio_B * advantage_B, ratio_B.clamp(1 - eps, 1 + eps) * advantage_B).mean()
    free_B = (values_B - return_B) ** 2
    held_B = (old_B + (values_B - old_B).clamp(-value_eps, value_eps) - return_B) ** 2
    value = 0.5 * torch.maximum(free_B, held_B).mean()
    entropy = masked_mean(entropy_BT, mask_BT)
    bound = ((ratio_B > 1 + eps) & (advantage_B > 0)) | ((ratio_B < 1 - eps) & (advantage_B < 0))
    total = policy + PPO["valueCoefficient"] * value - PPO["entropyCoefficient"] * entropy
    return total, {
        "policyLoss": policy,
        "valueLoss": value,
        "entropy": entropy,
        "clipShare": bound.double().mean(),
        "valueClipShare": (held_B > free_B).double().mean(),
    }, ratio_B


def make_ppo(parameters, config, batch, last_prompt_B, rng):
    rows, mask_BT = torch.arange(len(last_prompt_B)), batch["weights_BT"]
    start_BD = hidden_states(parameters, config, batch["tokens_BT"])[rows, last_prompt_B]
    head = draw_value_head(config, start_BD, rng)
    live = leaves({**parameters, **head}, torch.float64)
    hidden_BTD = hidden_states(live, config, batch["tokens_BT"])
    logits_BTV = logits_of(hidden_BTD, live, config)
    log_probs_BT = log_probs_of(logits_BTV, batch["targets_BT"])
    values_B = value_activations(hidden_BTD[rows, last_prompt_B], live)[-1][:, 0]
    given = draw_ppo(log_probs_BT.detach(), mask_BT, values_B.detach())
    loss, parts, ratio_B = ppo_loss(log_probs_BT, entropy_of(logits_BTV), values_B, mask_BT, given)
    loss.backward()
    return {
        **PPO,
        "formula": PPO_FORMULA,
        "valueHead": head,
        "lastPromptIndex_B": last_prompt_B,
        **given,
        "sequenceLogProbs_B": (log_probs_BT * mask_BT).sum(dim=1).detach(),
        "ratio_B": ratio_B.detach(),
        "values_B": values_B.detach(),
        "loss": float(loss),
        **{name: float(value) for name, value in parts.items()},
        "gradients": {name: p.grad for name, p in live.items()},
        "gradNorm": grad_norm_of(live),
    }


# ---- file ------------------------------------------------------------------------------------------------------


def largest_gap(left, right):
    if isinstance(left, dict):
        return max(largest_gap(left[name], right[name]) for name in left)
    return float((torch.as_tensor(left).double() - torch.as_tensor(right).double()).abs().max())


def float32_gaps(parameters, config, batch, exact):
    """What this same code loses in float32: a floor for the tolerances of a float32 engine."""
    once = first_step(parameters, config, batch, torch.float32)
    trained = train(parameters, config, batch, torch.float32)
    return {
        "meaning": "largest absolute difference between this script in float32 and in float64",
        "logits_BTV": largest_gap(once["logits_BTV"], exact["logits_BTV"]),
        "loss": abs(once["loss"] - exact["loss"]),
        "gradients": largest_gap(once["gradients"], exact["gradients"]),
        "gradNorm": abs(once["gradNorm"] - exact["gradNorm"]),
        "losses": largest_gap(trained["losses"], exact["training"]["losses"]),
        "gradNorms": largest_gap(trained["gradNorms"], exact["training"]["gradNorms"]),
        "finalParameters": largest_gap(trained["finalParameters"], exact["training"]["finalParameters"]),
    }


def plain(value):
    """Tensors become { shape, data } with data flat in row-major order; + 0 turns -0 into 0."""
    if isinstance(value, torch.Tensor):
        return {"shape": list(value.shape), "data": (value.detach().flatten() + 0).tolist()}
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return value


def make_case(name, case):
    config = case["config"]
    rng = np.random.default_rng(case["seed"])
    parameters = draw_parameters(config, rng)
    batch = draw_batch(config, case["sequences"], rng)
    exact = first_step(parameters, config, batch, torch.float64)
    exact["training"] = {"optimizer": OPTIMIZER, **train(parameters, config, batch, torch.float64)}
    golden = {
        "case": name,
        "generator": GENERATOR,
        "command": COMMAND,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "seed": case["seed"],
        "config": config,
        "parameters": parameters,
        **batch,
        **exact,
        "float32": float32_gaps(parameters, config, batch, exact),
    }
    if "rl_sequences" in case:
        golden["reinforcement"] = make_reinforcement(parameters, config, case["rl_sequences"], rng)
    return golden


def make_reinforcement(parameters, config, sequences, rng):
    batch = draw_batch(config, sequences, rng)
    last_prompt_B = torch.tensor([num_prompt - 1 for _, num_prompt in sequences])
    return {
        "tokens_BT": batch["tokens_BT"],
        "actions_BT": batch["targets_BT"],
        "mask_BT": batch["weights_BT"],
        "grpo": make_grpo(parameters, config, batch, rng),
        "ppo": make_ppo(parameters, config, batch, last_prompt_B, rng),
    }


def main():
    torch.set_num_threads(1)
    OUT.mkdir(parents=True, exist_ok=True)
    for name, case in CASES.items():
        text = json.dumps(plain(make_case(name, case)), allow_nan=False)
        path = OUT / f"{name}.json"
        path.write_text(text + "\n")
        print(f"{path}: {len(text) / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
