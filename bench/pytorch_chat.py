"""The PyTorch side of the chat benchmark: a Llama of 135 million parameters (the shape of SmolLM2-135M) on two CPU
threads, in the fastest honest forms of PyTorch and transformers that we found. No quantisation, no code of our own in
C++, and MKL and oneDNN as torch ships them.

Tasks: stream1, stream16 (64 prompt tokens, 128 new ones, greedy), likelihood (24 questions of 4 options), sft (one
training step of 4 x 256 tokens), prefill (512 tokens, the last logits only).

A form is a way of doing it, then the number format. The ways:
  generate, hf   transformers' own generate() or model, eager, with SDPA
  hfcompile      transformers' model with StaticCache under torch.compile, and a loop of our own
  eager          Lean, our own writing of the model: q, k, v in one matrix, gate and up in another
  onednn         Lean with oneDNN's matrix products (packed beforehand for inference) where MKL is slower: AMD
  compile        Lean under torch.compile
  sum            Lean compiled with products written as multiply-and-sum, which inductor fuses: for one row
The likelihood ways end in -padded (rows of question and option, 16 at a time), -shared (the question's keys and values
read once and expanded) or -tree (one row per question with its options behind it under a mask).
Formats: f32; bf16 (weights and activations); mixed (bf16 weights, f32 arithmetic, exact as the file is bf16);
hybrid (prompt in f32, new tokens in bf16).
Not better, or never at an end: bf16 for many rows (this processor has no such products), max-autotune, autocast.

Run: python pytorch_chat.py make FOLDER | forms TASK | run FOLDER TASK FORM [--seconds S] | check FOLDER
"""

import argparse
import json
import math
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from pytorch_rope import rope_tables, rotate
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, StaticCache
from transformers.utils.logging import disable_progress_bar

VOCAB, HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, HEAD_DIM = 49152, 576, 1536, 30, 9, 3, 64
GROUP, THETA, EPS = HEADS // KV_HEADS, 100000.0, 1e-5
PROMPT, NEW = 64, 128
QUESTIONS, OPTIONS, QUESTION_LENGTH, OPTION_LENGTH = 24, 4, 80, 8
ROWS, ROW_LENGTH = 4, 256
PREFILL = 512

FORMS = {
    "stream1": "generate-f32 eager-f32 onednn-f32 hybrid-bf16 compile-f32 hfcompile-f32 compile-hybrid sum-mixed",
    "stream16": "generate-f32 eager-f32 onednn-f32",
    "likelihood": "hf-padded-f32 onednn-padded-f32 onednn-shared-f32 onednn-tree-f32",
    "sft": "hf-f32 eager-f32 compile-f32",
    "prefill": "hf-f32 eager-f32 onednn-f32",
}
DTYPES = {"f32": torch.float32, "mixed": torch.float32}


def make(folder):
    """A random model, the same each time, saved as bfloat16."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        rms_norm_eps=EPS,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        initializer_range=0.02,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)


def load(folder, dtype):
    return LlamaForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa")


def random_tokens(*shape):
    return torch.randint(VOCAB, shape, generator=torch.Generator().manual_seed(2))


# The model


class Dense(nn.Module):
    """A matrix product by torch's own choice of BLAS."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return F.linear(x, self.weight)


class PackedDense(nn.Module):
    """oneDNN's product with a weight packed beforehand, for some number of rows; inference only."""

    def __init__(self, weight, rows):
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)

    def forward(self, x):
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, None, "none", [], "")


class SumDense(Dense):
    """A product written so that inductor reads the weight once, as it is stored: for few rows, compiled."""

    def forward(self, x):
        return (x.unsqueeze(-2) * self.weight.to(x.dtype)).sum(-1)


def attend(q, k, v, mask):
    """q [B, T, H, D], k and v [B, KV, S, D]; answer [B, T, H * D]. Causal without a mask, unless T is 1."""
    batch, length = q.shape[:2]
    if length == 1:  # the heads that share keys and values are as good as rows of one query
        q = q.view(batch, KV_HEADS, GROUP, HEAD_DIM)
        return F.scaled_dot_product_attention(q, k, v, mask).view(batch, 1, HIDDEN)
    mixed = F.scaled_dot_product_attention(q.transpose(1, 2), k, v, mask, is_causal=mask is None, enable_gqa=True)
    return mixed.transpose(1, 2).reshape(batch, length, HIDDEN)


class Cache:
    """Preallocated keys and values. at is a number (eager: answers what is filled) or a tensor of one (compiled:
    answers all, for a mask)."""

    def __init__(self, batch, length, dtype):
        shape = batch, KV_HEADS, length, HEAD_DIM
        self.keys = [torch.zeros(shape, dtype=dtype) for _ in range(LAYERS)]
        self.values = [torch.zeros(shape, dtype=dtype) for _ in range(LAYERS)]

    def put(self, layer, k, v, at):
        keys, values = self.keys[layer], self.values[layer]
        if isinstance(at, torch.Tensor):
            keys.index_copy_(2, at, k)
            values.index_copy_(2, at, v)
            return keys, values
        end = at + k.shape[2]
        keys[:, :, at:end], values[:, :, at:end] = k, v
        if k.dtype != keys.dtype:  # a prompt read in f32 before new tokens in bf16
            return k, v
        return keys[:, :, :end], values[:, :, :end]

    def repeated(self, times, spare):
        """A cache with each row several times and room for more positions."""
        answer = Cache(0, 0, torch.float32)
        for name in ("keys", "values"):
            rows = [F.pad(x.repeat_interleave(times, 0), (0, 0, 0, spare)) for x in getattr(self, name)]
            setattr(answer, name, rows)
        return answer


class Layer(nn.Module):
    """One decoder block."""

    def __init__(self, source, dense, dtype):
        super().__init__()
        attention, mlp = source.self_attn, source.mlp
        self.norm1 = nn.Parameter(source.input_layernorm.weight.to(dtype))
        self.norm2 = nn.Parameter(source.post_attention_layernorm.weight.to(dtype))
        self.qkv = dense(torch.cat([x.weight.detach() for x in (attention.q_proj, attention.k_proj, attention.v_proj)]))
        self.out = dense(attention.o_proj.weight.detach())
        self.gate_up = dense(torch.cat([mlp.gate_proj.weight.detach(), mlp.up_proj.weight.detach()]))
        self.down = dense(mlp.down_proj.weight.detach())

    def forward(self, x, rope, mask, put):
        qkv = self.qkv(F.rms_norm(x, (HIDDEN,), self.norm1, EPS)).view(*x.shape[:-1], -1, HEAD_DIM)
        qk, v = qkv.split([HEADS + KV_HEADS, KV_HEADS], -2)
        q, k = rotate(qk, *rope).split([HEADS, KV_HEADS], -2)
        k, v = put(k.transpose(1, 2), v.transpose(1, 2))
        x = x + self.out(attend(q, k, v, mask))
        gate, up = self.gate_up(F.rms_norm(x, (HIDDEN,), self.norm2, EPS)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Lean(nn.Module):
    """The decoder. dense makes a product of a weight; dtype is that of the arithmetic."""

    def __init__(self, source, dense=Dense, dtype=None):
        super().__init__()
        base = source.model
        self.dtype = dtype or base.embed_tokens.weight.dtype
        self.embed = nn.Parameter(base.embed_tokens.weight.detach())
        self.layers = nn.ModuleList(Layer(x, dense, self.dtype) for x in base.layers)
        self.norm = nn.Parameter(base.norm.weight.to(self.dtype))
        self.head = dense(self.embed)
        if isinstance(self.head, Dense):
            self.head.weight = self.embed
        for name, table in zip(("cos", "sin"), rope_tables(torch.arange(1024), HEAD_DIM, THETA)):
            self.register_buffer(name, table.to(self.dtype))

    def forward(self, tokens, positions, mask=None, cache=None, at=None):
        """The normed hidden states [B, T, hidden]; with a cache, keys and values are put there, beginning at at."""
        x = F.embedding(tokens, self.embed).to(self.dtype)
        rope = self.cos[positions], self.sin[positions]
        for n, layer in enumerate(self.layers):
            put = (lambda k, v: (k, v)) if cache is None else (lambda k, v, n=n: cache.put(n, k, v, at))
            x = layer(x, rope, mask, put)
        return F.rms_norm(x, (HIDDEN,), self.norm, EPS)


COMPILED = {"compile", "hfcompile", "sum"}


def compiled(way, function):
    """The function under torch.compile if the way asks for it; each shape is compiled for itself."""
    return torch.compile(function, dynamic=False) if way in COMPILED else function


def create_lean(folder, way, form, rows):
    """Lean for inference in some way: rows is how many rows its products will have."""
    if way == "onednn":
        return Lean(load(folder, torch.float32), lambda weight: PackedDense(weight, rows)).eval()
    source = load(folder, torch.float32 if form == "f32" else torch.bfloat16)
    return Lean(source, SumDense if way == "sum" else Dense, DTYPES.get(form, torch.bfloat16)).eval()


# Streams


def create_generate(folder, form, batch):
    model, prompts = load(folder, DTYPES.get(form, torch.bfloat16)), random_tokens(batch, PROMPT)
    attention = torch.ones_like(prompts)
    return lambda: model.generate(prompts, attention_mask=attention, max_new_tokens=NEW, do_sample=False)[:, PROMPT:]


def create_hf_stream(folder, way, form, batch):
    """transformers' model, a StaticCache and a loop of our own."""
    model, prompts = load(folder, DTYPES.get(form, torch.bfloat16)), random_tokens(batch, PROMPT)
    cache = StaticCache(config=model.config, max_cache_len=PROMPT + NEW)

    def forward(tokens, positions):
        ids = positions.expand(tokens.shape)
        logits = model(tokens, position_ids=ids, cache=cache, logits_to_keep=1).logits
        return logits[:, -1].argmax(-1, keepdim=True)

    step = compiled(way, forward)

    def work():
        cache.reset()
        drawn = [forward(prompts, torch.arange(PROMPT))]
        for position in range(PROMPT, PROMPT + NEW - 1):
            drawn.append(step(drawn[-1].clone(), torch.tensor([position])))
        return torch.cat(drawn, 1)

    return work


def create_stream(folder, way, form, batch):
    """Our model: the prompt by oneDNN or MKL in f32 (but eager-bf16), then one step per token."""
    if way in ("generate", "hfcompile"):
        return create_generate(folder, form, batch) if way == "generate" else create_hf_stream(folder, way, form, batch)
    prompts, length = random_tokens(batch, PROMPT), PROMPT + NEW
    is_pure = way == "eager"
    reader = create_lean(folder, way if is_pure else "onednn", form, batch * PROMPT)
    way, form = ("eager", "bf16") if way == "hybrid" else (way, "bf16" if form == "hybrid" else form)
    if way == "onednn" and batch == 1:  # oneDNN packs for many rows; MKL is faster for one
        way = "eager"
    model = reader if is_pure else create_lean(folder, way, form, batch)
    cache, steps = Cache(batch, length, model.dtype), [torch.tensor([n]) for n in range(length)]
    everywhere = torch.arange(length)

    def advance(tokens, position):
        mask = torch.where(everywhere <= position, 0.0, -math.inf).to(model.dtype)[None]
        hidden = model(tokens, position, mask, cache, position)
        return model.head(hidden).argmax(-1)

    def advance_eager(tokens, position):
        return model.head(model(tokens, steps[position], None, cache, position)).argmax(-1)

    step = compiled(way, advance) if way in COMPILED else advance_eager

    def work():
        hidden = reader(prompts, slice(0, PROMPT), None, cache, 0)
        drawn = [reader.head(hidden[:, -1:]).argmax(-1)]
        for n in range(PROMPT, length - 1):
            drawn.append(step(drawn[-1], steps[n] if way in COMPILED else n))
        return torch.cat(drawn, 1)

    return work


# Likelihood


def create_questions():
    questions = random_tokens(QUESTIONS, QUESTION_LENGTH)
    return questions, random_tokens(QUESTIONS + 1, OPTIONS, OPTION_LENGTH)[1:]


def score(logits, options):
    """The sum of log-probabilities of each option's tokens: logits [N, length, V], options [N, length]."""
    losses = F.cross_entropy(logits.flatten(0, 1).float(), options.flatten(), reduction="none")
    return -losses.view(options.shape).sum(-1)


def score_padded(forward):
    """Rows of question and option, 16 at a time (all are equally long here, so sorting them has nothing to do)."""
    questions, options = create_questions()
    options = options.flatten(0, 1)
    rows = torch.cat([questions.repeat_interleave(OPTIONS, 0), options], 1)[:, :-1].contiguous()

    def work():
        parts = [score(forward(x), y) for x, y in zip(rows.split(16), options.split(16))]
        return torch.cat(parts).view(QUESTIONS, OPTIONS)

    return work


def score_shared(model, group):
    """A group of questions is read, their keys and values repeated per option, and the options read behind them."""
    questions, options = create_questions()
    length = QUESTION_LENGTH + OPTION_LENGTH - 1
    mask = torch.full((OPTION_LENGTH - 1, length), -math.inf).triu(QUESTION_LENGTH + 1)

    def work_group(question, option):
        cache = Cache(len(question), QUESTION_LENGTH, model.dtype)
        first = model(question, slice(0, QUESTION_LENGTH), None, cache, 0)[:, -1:]
        flat, cache = option.flatten(0, 1), cache.repeated(OPTIONS, OPTION_LENGTH - 1)
        rest = model(flat[:, :-1], slice(QUESTION_LENGTH, length), mask, cache, QUESTION_LENGTH)
        first = model.head(first).repeat_interleave(OPTIONS, 0)
        return score(torch.cat([first, model.head(rest)], 1), flat)

    def work():
        parts = [work_group(x, y) for x, y in zip(questions.split(group), options.split(group))]
        return torch.cat(parts).view(QUESTIONS, OPTIONS)

    return work


def create_tree():
    """Positions and mask of a row that is a question and then its options, each seeing the question and itself."""
    tail = OPTION_LENGTH - 1
    branch = torch.cat([torch.full((QUESTION_LENGTH,), -1), torch.arange(OPTIONS).repeat_interleave(tail)])
    spread = torch.arange(QUESTION_LENGTH, QUESTION_LENGTH + tail).repeat(OPTIONS)
    positions = torch.cat([torch.arange(QUESTION_LENGTH), spread])
    order = torch.arange(len(branch))
    sees = (order[None] <= order[:, None]) & ((branch[None] < 0) | (branch[None] == branch[:, None]))
    return positions, torch.where(sees, 0.0, -math.inf)


def score_tree(way, model, group):
    questions, options = create_questions()
    tail = OPTION_LENGTH - 1
    positions, mask = create_tree()
    mask = mask.to(model.dtype)
    rows = torch.cat([questions, options[:, :, :-1].flatten(1)], 1)

    def forward(tokens):
        hidden = model(tokens, positions, mask)
        logits = model.head(hidden[:, QUESTION_LENGTH - 1 :])
        first = logits[:, :1, None].expand(-1, OPTIONS, -1, -1)
        rest = logits[:, 1:].unflatten(1, (OPTIONS, tail))
        return torch.cat([first, rest], 2).flatten(0, 1)

    run = compiled(way, lambda tokens, option: score(forward(tokens), option))

    def work():
        parts = [run(x, y.flatten(0, 1)) for x, y in zip(rows.split(group), options.split(group))]
        return torch.cat(parts).view(QUESTIONS, OPTIONS)

    return work


def create_likelihood(folder, way, form, style, group):
    if way == "hf":
        model = load(folder, DTYPES.get(form, torch.bfloat16))
        return score_padded(lambda rows: model(rows, use_cache=False, logits_to_keep=OPTION_LENGTH).logits)
    model = create_lean(folder, way, form, 512)
    if style == "shared":
        return score_shared(model, group)
    if style == "tree":
        return score_tree(way, model, group)
    forward = lambda rows: model.head(model(rows, slice(0, rows.shape[1]))[:, -OPTION_LENGTH:])
    return score_padded(compiled(way, forward))


# Prefill and training


def create_prefill(folder, way, form):
    tokens = random_tokens(1, PREFILL)
    if way == "hf":
        model = load(folder, DTYPES.get(form, torch.bfloat16))
        return lambda: model(tokens, cache=DynamicCache(), logits_to_keep=1).logits[:, -1]
    model = create_lean(folder, way, form, PREFILL)
    cache = Cache(1, PREFILL, model.dtype)

    def forward(tokens):
        hidden = model(tokens, slice(0, PREFILL), None, cache, 0)
        return model.head(hidden[:, -1:])[:, -1]

    run = compiled(way, forward)
    return lambda: run(tokens)


def create_sft(folder, way, form):
    """One optimizer step on fixed rows."""
    source = load(folder, DTYPES.get(form, torch.bfloat16))
    model = source if way == "hf" else Lean(source)
    model.train()
    rows = random_tokens(ROWS, ROW_LENGTH + 1)
    inputs, targets = rows[:, :-1].contiguous(), rows[:, 1:].flatten()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)

    def forward(inputs):
        if way == "hf":
            logits = model(inputs, use_cache=False).logits
        else:
            logits = model.head(model(inputs, slice(0, ROW_LENGTH)))
        return F.cross_entropy(logits.flatten(0, 1).float(), targets)

    run = compiled(way, forward)

    def work():
        optimizer.zero_grad(set_to_none=True)
        loss = run(inputs)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        return loss.item()

    return work


# Running


def create(folder, task, form):
    """The work of a task, how much one call does, and the unit of that."""
    way, *style, number = form.split("-")
    if task in ("stream1", "stream16"):
        batch = int(task.removeprefix("stream"))
        return create_stream(folder, way, number, batch), batch * NEW, "tokens/s"
    if task == "likelihood":
        return create_likelihood(folder, way, number, style[0], 8), QUESTIONS, "questions/s"
    if task == "sft":
        return create_sft(folder, way, number), ROWS * ROW_LENGTH, "tokens/s"
    return create_prefill(folder, way, number), PREFILL, "tokens/s"


def measure(work, seconds):
    """Seconds of each call, after two for warming up; at least two calls."""
    start = time.perf_counter()
    work()
    if time.perf_counter() - start < 60 + seconds:  # not for the hopelessly slow
        work()
    times = []
    while len(times) < 2 or sum(times) < seconds:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def run(folder, task, form, seconds):
    with torch.inference_mode(task != "sft"):
        work, amount, unit = create(folder, task, form)
        times = measure(work, seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = {
        "task": task,
        "form": form,
        "rate": round(amount / statistics.median(times), 2),
        "unit": unit,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "peak_mb": round(peak),
        "best": round(amount / min(times), 2),
        "calls": len(times),
    }
    print(json.dumps(line), flush=True)


def check(folder, task, forms):
    """Compares forms with transformers' own: how many rows of tokens are the same, or the largest difference."""
    reference = {"stream1": "generate-f32", "stream16": "generate-f32", "likelihood": "hf-padded-f32"}.get(task, "hf-f32")
    with torch.inference_mode(task != "sft"):
        expected = create(folder, task, reference)[0]()
        for form in forms or FORMS[task].split():
            answer = create(folder, task, form)[0]()
            if task.startswith("stream"):
                line = {"equal": (answer == expected).float().mean().item()}
            else:
                line = {"difference": abs(torch.as_tensor(answer).float() - torch.as_tensor(expected)).max().item()}
            print(json.dumps({"task": task, "form": form, **line}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("make").add_argument("folder")
    commands.add_parser("forms").add_argument("task", choices=FORMS)
    runs = commands.add_parser("run")
    runs.add_argument("folder")
    runs.add_argument("task", choices=FORMS)
    runs.add_argument("form")
    runs.add_argument("--seconds", type=float, default=10)
    checks = commands.add_parser("check")
    checks.add_argument("folder")
    checks.add_argument("task", choices=FORMS)
    checks.add_argument("forms", nargs="*")
    options = parser.parse_args()
    disable_progress_bar()
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    if options.command == "make":
        make(options.folder)
    elif options.command == "forms":
        print("\n".join(FORMS[options.task].split()))
    elif options.command == "run":
        run(options.folder, options.task, options.form, options.seconds)
    else:
        check(options.folder, options.task, options.forms)


if __name__ == "__main__":
    main()
