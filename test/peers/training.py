"""Supervised fine-tuning step by step with the real PyTorch and PEFT: all weights of a small Llama, and adapters beside them.

    python test/peers/training.py FOLDER    writes FOLDER/<case>/{base,steps.safetensors,expected.json}

`steps.safetensors` holds what is trained before the first step ("0.NAME") and after each ("1.NAME" …), all in float32. Needs torch,
transformers, peft and safetensors.
"""

import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

torch.set_num_threads(1)
STEPS, ROWS, VOCAB = 20, 6, 160
LORA = {"rank": 4, "alpha": 8}
OPTIMIZER = {"learningRate": 2e-3, "beta1": 0.9, "beta2": 0.98, "epsilon": 1e-8, "weightDecay": 0.01, "maxGradientNorm": 1.0}


def make_model():
    torch.manual_seed(11)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=12, max_position_embeddings=64, initializer_range=0.1, eos_token_id=1, pad_token_id=0,
        attn_implementation="eager",
    )
    return LlamaForCausalLM(config)


def draw_batch(generator):
    """Rows of tokens, and how many of each are its prompt."""
    rows = []
    for _ in range(ROWS):
        length = int(torch.randint(6, 25, (1,), generator=generator))
        tokens = torch.randint(3, VOCAB, (length,), generator=generator).tolist()
        rows.append({"tokens": tokens, "numPromptTokens": int(torch.randint(1, length - 2, (1,), generator=generator))})
    return rows


def loss_of(model, rows):
    """The mean over all answer tokens of the batch, each row on its own: no padding that could matter."""
    losses, count = 0, 0
    for row in rows:
        tokens = torch.tensor([row["tokens"]])
        logits = model(input_ids=tokens).logits[0, row["numPromptTokens"] - 1 : -1]
        targets = tokens[0, row["numPromptTokens"] :]
        losses = losses + F.cross_entropy(logits, targets, reduction="sum")
        count += len(targets)
    return losses / count


def clean(name):
    return name.replace("base_model.model.", "").replace(".default", "")


def train(case, folder):
    model = make_model()
    model.save_pretrained(f"{folder}/base")
    if case == "adapters":
        options = LoraConfig(r=LORA["rank"], lora_alpha=LORA["alpha"], target_modules="all-linear", lora_dropout=0.0)
        model = get_peft_model(model, options)
    trained = [(clean(name), value) for name, value in model.named_parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(
        [value for _, value in trained], lr=OPTIMIZER["learningRate"], betas=(OPTIMIZER["beta1"], OPTIMIZER["beta2"]),
        eps=OPTIMIZER["epsilon"], weight_decay=OPTIMIZER["weightDecay"],
    )
    generator = torch.Generator().manual_seed(5)
    saved = {f"0.{name}": value.detach().clone() for name, value in trained}
    batches, losses, norms = [], [], []
    for step in range(1, STEPS + 1):
        rows = draw_batch(generator)
        optimizer.zero_grad()
        loss = loss_of(model, rows)
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_([value for _, value in trained], OPTIMIZER["maxGradientNorm"])))
        optimizer.step()
        batches.append(rows)
        losses.append(float(loss))
        saved |= {f"{step}.{name}": value.detach().clone() for name, value in trained}
    if case == "adapters":
        merged = model.merge_and_unload().state_dict()
        saved |= {f"merged.{name}": value.detach().clone().contiguous() for name, value in merged.items()}
    save_file(saved, f"{folder}/steps.safetensors")
    expected = {"optimizer": OPTIMIZER, "lora": LORA if case == "adapters" else None, "batches": batches, "losses": losses, "norms": norms}
    with open(f"{folder}/expected.json", "w") as file:
        json.dump(expected, file)


def main():
    for case in ["all weights", "adapters"]:
        folder = os.path.join(sys.argv[1], case)
        os.makedirs(folder, exist_ok=True)
        train(case, folder)


if __name__ == "__main__":
    main()
