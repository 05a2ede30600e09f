"""Small real trainings by TRL on the CPU, each of a few steps, for trainings.test.ts to follow.

python trainings.py BASE OUT NAME...: trains the model in BASE as each NAME says (see `trainings`) into OUT/NAME.
"""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

# What every training has in common: six steps, each logged, every second one saved.
common = {
    "max_steps": 6,
    "save_steps": 2,
    "logging_steps": 1,
    "per_device_train_batch_size": 2,
    "learning_rate": 1e-3,
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "seed": 1,
}

lora = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


def texts(count):
    return [f"{step} + {step + 1} = {2 * step + 1}" for step in range(1, count + 1)]


def load(base):
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), AutoTokenizer.from_pretrained(base)


def sft(base, out, settings, peft=None):
    model, tokenizer = load(base)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(output_dir=out, **{**common, **settings}),
        train_dataset=Dataset.from_dict({"text": texts(12)}),
        eval_dataset=Dataset.from_dict({"text": texts(4)}),
        processing_class=tokenizer,
        peft_config=peft,
    )
    trainer.train()
    return trainer


def best(base, out):
    """The first save is the best: later steps do harm. The trainer loads it at the end and saves it beside the steps."""
    settings = {
        "learning_rate": 0.5,
        "warmup_steps": 5,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "load_best_model_at_end": True,
    }
    trainer = sft(base, out, settings)
    trainer.save_model(out)
    trainer.save_state()


def full(base, out):
    sft(base, out, {}).save_model(out)


def dpo(base, out):
    model, tokenizer = load(base)
    data = {"prompt": texts(8), "chosen": ["24"] * 8, "rejected": ["7"] * 8}
    DPOTrainer(
        model=model,
        args=DPOConfig(output_dir=out, **common),
        train_dataset=Dataset.from_dict(data),
        processing_class=tokenizer,
    ).train()


def grpo(base, out):
    model, tokenizer = load(base)
    settings = {"num_generations": 2, "max_completion_length": 4}
    GRPOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [float(len(text)) for text in completions],
        args=GRPOConfig(output_dir=out, **common, **settings),
        train_dataset=Dataset.from_dict({"prompt": texts(8)}),
        processing_class=tokenizer,
    ).train()


trainings = {
    "sft-full": full,
    "sft-lora": lambda base, out: sft(base, out, {}, LoraConfig(**lora)),
    "sft-lora-modules-to-save": lambda base, out: sft(
        base, out, {}, LoraConfig(**lora, modules_to_save=["lm_head"])
    ),
    "sft-rotation": lambda base, out: sft(base, out, {"max_steps": 8, "save_total_limit": 2}),
    "sft-best": best,
    # Forgets all there was to know within a few steps.
    "sft-ruin": lambda base, out: sft(base, out, {"learning_rate": 0.1, "max_steps": 8}),
    "dpo": dpo,
    "grpo": grpo,
}

if __name__ == "__main__":
    base, out, *names = sys.argv[1:]
    for name in names:
        trainings[name](base, os.path.join(out, name))
