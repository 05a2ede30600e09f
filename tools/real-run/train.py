"""Fine-tunes a chat model on a narrow task by TRL, on the processor.

    python train.py full|lora MODEL DATA OUT

Steps of 8 conversations in 32-bit floats: 60 on all weights at a rate of 1e-4, with a checkpoint every 20; or 20 on a LoRA of rank 16 on all
linear layers at 1e-3, with a checkpoint at the end.
"""

import sys

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import set_seed
from trl import SFTConfig, SFTTrainer

kind, model, data, out = sys.argv[1:]
steps, save_steps, rate = {"full": (60, 20, 1e-4), "lora": (20, 20, 1e-3)}[kind]
torch.set_num_threads(2)
set_seed(0)
SFTTrainer(
    model=model,
    args=SFTConfig(
        output_dir=out,
        max_steps=steps,
        per_device_train_batch_size=8,
        learning_rate=rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=5,
        save_steps=save_steps,
        save_only_model=True,
        logging_steps=5,
        report_to=[],
        use_cpu=True,
        bf16=False,
        max_length=160,
        completion_only_loss=True,
        seed=0,
        model_init_kwargs={"dtype": "float32"},
        gradient_checkpointing=False,
        disable_tqdm=True,
    ),
    train_dataset=load_dataset("json", data_files=f"{data}/train.jsonl", split="train"),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear") if kind == "lora" else None,
).train()
