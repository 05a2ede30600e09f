"""The PyTorch side of the engine benchmark: one training step, and batched sampling, of a small Llama-style model
on two CPU threads in float32. Leaves out correctness (tools/golden does that) and our own engine (the other side).

Three styles: "standard" is the model as it is usually written (matrix products for attention, multinomial, threads as
torch.set_num_threads leaves them); "tuned" is the fastest we found by hand for this machine's BLAS; "compiled" is its training
through torch.compile (sampling is slower by it: a position is another program each).

Run: python bench/pytorch_engine.py --task train|sample [--style standard|tuned|compiled] [--batch B] [--repeats N]
"""

import argparse
import ctypes
import inspect
import json
import math
import statistics
import time

import torch
import torch.nn.functional as F
from pytorch_rope import rope_tables, rotate
from torch import nn

HIDDEN, INNER, HEADS, HEAD_DIM, NUM_LAYERS = 96, 256, 4, 24, 3
ROPE_THETA, NORM_EPS = 10000.0, 1e-5
NUM_PROMPT, NUM_DECODE = 20, 29
IGNORED = -100
STYLE = {"tuned": False, "compiled": False}
# Without MKL, bmm is one BLAS call per head and row: for a single query, multiply-and-sum is some eight times faster.
HAS_BATCHED_GEMM = torch.backends.mkl.is_available()


def tame_openblas():
    """Names the BLAS. An OpenBLAS with a pthread pool of its own fights PyTorch's OpenMP pool for the cores (ten times
    slower here), so it is held to one thread; the OpenMP build (Debian: libopenblas0-openmp) shares the pool."""
    if HAS_BATCHED_GEMM:
        return "mkl"
    try:
        openblas = ctypes.CDLL("libopenblas.so.0")
    except OSError:
        return "unknown"
    if openblas.openblas_get_parallel() == 2:
        return "openblas-openmp"
    if not STYLE["tuned"]:
        return "openblas-pthread"
    openblas.openblas_set_num_threads(1)
    return "openblas-pthread, held to one thread"


class RMSNorm(nn.Module):
    """Llama's norm; PyTorch's own where there is one."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x):
        if hasattr(F, "rms_norm"):
            return F.rms_norm(x, (HIDDEN,), self.weight, NORM_EPS)
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True).add_(NORM_EPS)) * self.weight


def attend_all(q, k, v, causal_bias):
    """Causal attention over whole rows; q, k, v of shape [B, T, H, D], answer [B, T, H * D]."""
    batch, length = q.shape[:2]
    q, k, v = (x.transpose(1, 2).reshape(batch * HEADS, length, HEAD_DIM) for x in (q, k, v))
    score = torch.baddbmm(causal_bias, q, k.transpose(1, 2), alpha=1 / math.sqrt(HEAD_DIM))
    mixed = torch.bmm(score.softmax(-1), v)
    return mixed.view(batch, HEADS, length, HEAD_DIM).transpose(1, 2).reshape(batch, length, HIDDEN)


def attend_last(q, k_cache, v_cache):
    """One query per row and head: q [B * H, 1, D], keys [B * H, D, T], values [B * H, T, D]."""
    if HAS_BATCHED_GEMM or not STYLE["tuned"]:
        return torch.bmm(torch.bmm(q, k_cache).softmax(-1), v_cache)
    score = (q.transpose(1, 2) * k_cache).sum(1, keepdim=True)
    return (score.softmax(-1).transpose(1, 2) * v_cache).sum(1)


class Layer(nn.Module):
    """One decoder block; q, k, v share one matrix, gate and up another, which is faster than five."""

    def __init__(self):
        super().__init__()
        self.input_norm, self.post_norm = RMSNorm(), RMSNorm()
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN, bias=False)
        self.out = nn.Linear(HIDDEN, HIDDEN, bias=False)
        self.gate_up = nn.Linear(HIDDEN, 2 * INNER, bias=False)
        self.down = nn.Linear(INNER, HIDDEN, bias=False)

    def project(self, x, cos, sin):
        """Rotated q and k, and v: each [..., H, D]."""
        qkv = self.qkv(self.input_norm(x)).view(*x.shape[:-1], 3 * HEADS, HEAD_DIM)
        qk, v = qkv.split([2 * HEADS, HEADS], -2)
        q, k = rotate(qk, cos, sin).chunk(2, -2)
        return q, k, v

    def finish(self, x, mixed):
        x = x + self.out(mixed)
        gate, up = self.gate_up(self.post_norm(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    """The decoder: forward() over whole rows, decode() one position with a preallocated cache."""

    def __init__(self, vocab, length):
        super().__init__()
        self.embed = nn.Embedding(vocab, HIDDEN)
        self.layers = nn.ModuleList(Layer() for _ in range(NUM_LAYERS))
        self.norm = RMSNorm()
        self.head = nn.Linear(HIDDEN, vocab, bias=False)
        cos, sin = rope_tables(torch.arange(length), HEAD_DIM, ROPE_THETA)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)
        self.register_buffer("bias", torch.full((1, length, length), -math.inf).triu(1))
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.1)

    def forward(self, tokens, caches=None):
        """Logits [B, T, V]; with caches, fills them and gives the last position's logits only."""
        length = tokens.shape[1]
        cos, sin, bias = self.cos[:length], self.sin[:length], self.bias[:, :length, :length]
        x = self.embed(tokens)
        for n, layer in enumerate(self.layers):
            q, k, v = layer.project(x, cos, sin)
            if caches is not None:
                caches[n][0].view(-1, HEADS, HEAD_DIM, caches[n][0].shape[-1])[..., :length] = k.permute(0, 2, 3, 1)
                caches[n][1].view(-1, HEADS, caches[n][1].shape[1], HEAD_DIM)[:, :, :length] = v.transpose(1, 2)
            x = layer.finish(x, attend_all(q, k, v, bias))
        return self.head(self.norm(x if caches is None else x[:, -1]))

    def decode(self, tokens, position, caches):
        """Logits [B, V] of one new token per row, at one position for all rows."""
        batch = tokens.shape[0]
        cos, sin = self.cos[position], self.sin[position]
        x = self.embed(tokens)
        for layer, (k_cache, v_cache) in zip(self.layers, caches):
            q, k, v = layer.project(x, cos, sin)
            k_cache[:, :, position] = k.reshape(batch * HEADS, HEAD_DIM)
            v_cache[:, position] = v.reshape(batch * HEADS, HEAD_DIM)
            q = q.reshape(batch * HEADS, 1, HEAD_DIM) * (1 / math.sqrt(HEAD_DIM))
            mixed = attend_last(q, k_cache[:, :, : position + 1], v_cache[:, : position + 1])
            x = layer.finish(x, mixed.reshape(batch, HIDDEN))
        return self.head(self.norm(x))


def create_optimizer(model):
    options = {"lr": 1e-3, "betas": (0.9, 0.98), "weight_decay": 0.01}
    known = inspect.signature(torch.optim.AdamW).parameters
    fast = {"fused": True} if HAS_BATCHED_GEMM and "fused" in known else {"foreach": True} if "foreach" in known else {}
    return torch.optim.AdamW(model.parameters(), **options, **fast)


def clip(parameters):
    known = inspect.signature(nn.utils.clip_grad_norm_).parameters
    return nn.utils.clip_grad_norm_(parameters, 1.0, **({"foreach": True} if "foreach" in known else {}))


def create_training(options):
    """A function that makes one optimizer step on a fixed batch; the answer is the last 60% of each row."""
    model = Model(options.vocab, options.length)
    parameters, optimizer = list(model.parameters()), create_optimizer(model)
    tokens = torch.randint(options.vocab, (options.batch, options.length + 1))
    targets = tokens[:, 1:].clone()
    targets[:, : int(options.length * 0.4)] = IGNORED

    forward = torch.compile(model) if STYLE["compiled"] else model

    def step():
        logits = forward(tokens[:, :-1])
        loss = F.cross_entropy(logits.view(-1, options.vocab), targets.reshape(-1), ignore_index=IGNORED)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip(parameters)
        optimizer.step()
        return loss.item()

    return step, options.batch * options.length


def draw(logits):
    """One token per row at temperature 1, by inverting the cumulative distribution: faster than torch.multinomial."""
    if not STYLE["tuned"]:
        return torch.multinomial(logits.softmax(-1), 1)[:, 0]
    cumulative = logits.softmax(-1).cumsum(-1)
    at = torch.rand(logits.shape[0], 1) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, at)[:, 0].clamp_(max=logits.shape[1] - 1)


def create_sampling(options):
    """A function that fills the cache from fresh prompts and draws NUM_DECODE tokens per row at temperature 1."""
    length, rows = NUM_PROMPT + NUM_DECODE, options.batch * HEADS
    model = Model(options.vocab, length).eval()
    prompts = torch.randint(options.vocab, (options.batch, NUM_PROMPT))
    caches = [(torch.zeros(rows, HEAD_DIM, length), torch.zeros(rows, length, HEAD_DIM)) for _ in range(NUM_LAYERS)]

    @torch.inference_mode()
    def sample():
        drawn = []
        logits = model(prompts, caches)
        for position in range(NUM_PROMPT, length - 1):
            drawn.append(draw(logits))
            logits = model.decode(drawn[-1], position, caches)
        drawn.append(draw(logits))
        return torch.stack(drawn, 1)

    return sample, options.batch * NUM_DECODE


def measure(work, num_repeats, seconds_per_repeat):
    """Seconds per call, one figure per repeat, after a warm-up; a repeat is as many calls as fill the time."""
    start = time.perf_counter()
    num_warm = 0
    while num_warm < 3 or time.perf_counter() - start < seconds_per_repeat:
        work()
        num_warm += 1
    num_calls = max(1, round(num_warm * seconds_per_repeat / (time.perf_counter() - start)))
    seconds = []
    for _ in range(num_repeats):
        start = time.perf_counter()
        for _ in range(num_calls):
            work()
        seconds.append((time.perf_counter() - start) / num_calls)
    return seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", choices=["train", "sample"], required=True)
    parser.add_argument("--style", choices=["standard", "tuned", "compiled"], default="tuned")
    parser.add_argument("--batch", type=int, help="rows; 64 for train, 128 for sample")
    parser.add_argument("--length", type=int, default=48, help="positions per row, train only")
    parser.add_argument("--vocab", type=int, default=123)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one repeat")
    options = parser.parse_args()
    options.batch = options.batch or {"train": 64, "sample": 128}[options.task]
    STYLE["tuned"] = options.style != "standard"
    STYLE["compiled"] = options.style == "compiled"
    torch.set_num_threads(2)
    blas = tame_openblas()
    torch.manual_seed(1)
    work, num_tokens = (create_training if options.task == "train" else create_sampling)(options)
    speeds = [num_tokens / s for s in measure(work, options.repeats, options.seconds)]
    print(
        json.dumps(
            {
                "task": options.task,
                "style": options.style,
                "tokensPerSecond": round(statistics.median(speeds)),
                "all": [round(speed) for speed in speeds],
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "blas": blas,
                "batch": options.batch,
                "length": options.length if options.task == "train" else NUM_PROMPT + NUM_DECODE,
                "vocab": options.vocab,
            }
        )
    )


if __name__ == "__main__":
    main()
