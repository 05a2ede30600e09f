"""Adapters of many kinds as the real PEFT writes them, with the models that PEFT makes of them.

    python test/peers/adapters.py write FOLDER     writes FOLDER/<case>/{adapter,base or link to it,merged.safetensors,expected.json}
    python test/peers/adapters.py check ADAPTER BASE OUT   loads an adapter by PEFT onto BASE and saves its merged tensors to OUT

Everything in float32 unless the case says otherwise. `expected.json` says whether the case can be opened, and in which words it is
refused where it cannot. Needs torch, transformers, peft and safetensors.
"""

import json
import os
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from peft import (
    AdaLoraConfig, BOFTConfig, FourierFTConfig, HRAConfig, IA3Config, LNTuningConfig, LoHaConfig, LoKrConfig, LoraConfig,
    OFTConfig, PeftModel, PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig, TrainableTokensConfig, VBLoRAConfig,
    VeraConfig, get_peft_model,
)
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM,
    Qwen3MoeConfig, Qwen3MoeForCausalLM,
)

torch.set_num_threads(1)
LLAMA = dict(
    vocab_size=160, hidden_size=48, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    head_dim=12, max_position_embeddings=128, initializer_range=0.1,
)


def bases(name):
    torch.manual_seed(7)
    if name == "llama":
        return LlamaForCausalLM(LlamaConfig(**LLAMA))
    if name == "llama-tied":
        return LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=True))
    if name == "llama-bias":
        model = LlamaForCausalLM(LlamaConfig(**LLAMA, attention_bias=True, mlp_bias=True))
        for key, value in model.named_parameters():
            if key.endswith("bias"):
                value.data.normal_()
        return model
    if name == "qwen2":
        arguments = {key: value for key, value in LLAMA.items() if key != "head_dim"}
        model = Qwen2ForCausalLM(Qwen2Config(**arguments))
        for key, value in model.named_parameters():
            if key.endswith("bias"):
                value.data.normal_()
        return model
    if name == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=160, n_embd=48, n_layer=2, n_head=4, n_positions=64, n_inner=48))
    if name == "moe":
        arguments = {**LLAMA, "moe_intermediate_size": 24, "num_experts": 4, "num_experts_per_tok": 2}
        return Qwen3MoeForCausalLM(Qwen3MoeConfig(**arguments))
    raise KeyError(name)


def lora(**fields):
    base = dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    return LoraConfig(**{**base, **fields})


# name: (base, config, what it is expected to be: "opened", or words of the refusal)
CASES = {
    "plain": ("llama", lambda: lora(), "opened"),
    "all-linear": ("llama", lambda: lora(target_modules="all-linear"), "opened"),
    "rslora": ("llama", lambda: lora(use_rslora=True), "opened"),
    "patterns": ("llama", lambda: lora(
        target_modules=["q_proj", "up_proj", "down_proj"], rank_pattern={r"layers\.0\..*q_proj": 2, "down_proj": 7},
        alpha_pattern={"model.layers.1.mlp.up_proj": 3, "^model.layers.0.mlp.up_proj": 5}), "opened"),
    "layers": ("llama", lambda: lora(layers_to_transform=[1], layers_pattern="layers"), "opened"),
    "excluded": ("llama", lambda: lora(target_modules="all-linear", exclude_modules=["o_proj"]), "opened"),
    "bias-all": ("llama-bias", lambda: lora(bias="all"), "opened"),
    "bias-lora-only": ("llama-bias", lambda: lora(bias="lora_only"), "opened"),
    "lora-bias": ("llama-bias", lambda: lora(lora_bias=True), "opened"),
    "lora-bias-without": ("llama", lambda: lora(lora_bias=True), "has none in the base"),
    "qwen2": ("qwen2", lambda: lora(lora_bias=True, bias="all"), "opened"),
    "dora": ("llama", lambda: lora(use_dora=True, target_modules="all-linear"), "opened"),
    "dora-rslora": ("llama", lambda: lora(use_dora=True, use_rslora=True, rank_pattern={"q_proj": 3}), "opened"),
    "dora-embeddings": ("llama", lambda: lora(use_dora=True, target_modules=["embed_tokens", "q_proj"]), "opened"),
    "lm-head": ("llama", lambda: lora(target_modules=["q_proj", "lm_head"]), "opened"),
    "embed-tokens": ("llama", lambda: lora(target_modules=["q_proj", "embed_tokens"]), "opened"),
    "both-tables": ("llama", lambda: lora(target_modules=["embed_tokens", "lm_head"]), "opened"),
    "saved-head": ("llama", lambda: lora(modules_to_save=["lm_head"]), "opened"),
    "saved-tables": ("llama", lambda: lora(modules_to_save=["lm_head", "embed_tokens"]), "opened"),
    "saved-norms": ("llama", lambda: lora(modules_to_save=["norm", "input_layernorm"]), "opened"),
    "tied-plain": ("llama-tied", lambda: lora(), "opened"),
    "tied-saved-embeddings": ("llama-tied", lambda: lora(modules_to_save=["embed_tokens"]), "opened"),
    "tied-saved-head": ("llama-tied", lambda: lora(modules_to_save=["lm_head"]), "opened"),
    "tied-saved-both": (
        "llama-tied", lambda: lora(modules_to_save=["embed_tokens"], ensure_weight_tying=True), "opened"),
    "tied-embed-tokens": ("llama-tied", lambda: lora(target_modules=["embed_tokens"]), "are its head as well"),
    "tied-lm-head": ("llama-tied", lambda: lora(target_modules=["lm_head"]), "are its head as well"),
    "tied-tokens": ("llama-tied", lambda: lora(trainable_token_indices=[3, 5, 159]), "opened"),
    "tokens": ("llama", lambda: lora(trainable_token_indices=[3, 5, 159]), "opened"),
    "tokens-by-name": ("llama", lambda: lora(
        trainable_token_indices={"embed_tokens": [0, 9], "lm_head": [4]}), "opened"),
    "resized": ("llama", lambda: lora(), "opened"),
    "resized-saved": ("llama", lambda: lora(modules_to_save=["lm_head", "embed_tokens"]), "opened"),
    "conv1d": ("gpt2", lambda: lora(target_modules=["c_attn", "c_fc", "c_proj"], fan_in_fan_out=True), "opened"),
    "conv1d-dora": ("gpt2", lambda: lora(
        target_modules=["c_attn", "c_fc", "c_proj"], fan_in_fan_out=True, use_dora=True), "opened"),
    "experts": ("moe", lambda: lora(
        target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"], target_modules=["q_proj"]), "opened"),
    "experts-one": ("moe", lambda: lora(
        target_parameters=["mlp.experts.down_proj"], target_modules=[], rank_pattern={"down_proj": 2}), "opened"),
    "parameter": ("llama", lambda: lora(target_parameters=["q_proj.weight"], target_modules=[]), "opened"),
    "gaussian": ("llama", lambda: lora(init_lora_weights="gaussian"), "opened"),
    "orthogonal": ("llama", lambda: lora(init_lora_weights="orthogonal"), "opened"),
    "mica": ("llama", lambda: lora(init_lora_weights="mica"), "opened"),
    "velora": ("llama", lambda: lora(velora_config={"num_groups": 4, "init_type": "random"}), "opened"),
    "pissa": ("llama", lambda: lora(init_lora_weights="pissa"), "was started by"),
    "olora": ("llama", lambda: lora(init_lora_weights="olora"), "was started by"),
    "alora": ("llama", lambda: lora(alora_invocation_tokens=[1, 2]), "alora_invocation_tokens"),
    "replicated": ("llama", lambda: lora(layer_replication=[[0, 2], [1, 2]]), "layer_replication"),
    "kasa": ("llama", lambda: lora(kasa_config={}), "kasa_config"),
    "bdlora": ("llama", lambda: lora(
        use_bdlora={"target_modules_bd_a": ["q_proj"], "target_modules_bd_b": ["v_proj"], "nblocks": 2}), "use_bdlora"),
    "adalora": ("llama", lambda: AdaLoraConfig(total_step=10, target_modules=["q_proj"]), '"ADALORA"'),
    "loha": ("llama", lambda: LoHaConfig(target_modules=["q_proj"]), '"LOHA"'),
    "lokr": ("llama", lambda: LoKrConfig(target_modules=["q_proj"]), '"LOKR"'),
    "ia3": ("llama", lambda: IA3Config(
        target_modules=["q_proj", "down_proj"], feedforward_modules=["down_proj"]), '"IA3"'),
    "oft": ("llama", lambda: OFTConfig(target_modules=["q_proj"], oft_block_size=4), '"OFT"'),
    "boft": ("llama", lambda: BOFTConfig(target_modules=["q_proj"], boft_block_size=4), '"BOFT"'),
    "vera": ("llama", lambda: VeraConfig(target_modules=["q_proj"]), '"VERA"'),
    "fourier": ("llama", lambda: FourierFTConfig(target_modules=["q_proj"], n_frequency=10), '"FOURIERFT"'),
    "hra": ("llama", lambda: HRAConfig(target_modules=["q_proj"]), '"HRA"'),
    "vblora": ("llama", lambda: VBLoRAConfig(
        target_modules=["q_proj"], vector_length=12, num_vectors=16, topk=2), '"VBLORA"'),
    "ln": ("llama", lambda: LNTuningConfig(target_modules=["norm"]), '"LN_TUNING"'),
    "trainable-tokens": ("llama", lambda: TrainableTokensConfig(token_indices=[1]), '"TRAINABLE_TOKENS"'),
    "prompt": ("llama", lambda: PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3), '"PROMPT_TUNING"'),
    "prefix": ("llama", lambda: PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3), '"PREFIX_TUNING"'),
    "p-tuning": ("llama", lambda: PromptEncoderConfig(task_type="CAUSAL_LM", num_virtual_tokens=3), '"P_TUNING"'),
}


def shake(model):
    """Stands for training: all trainable numbers moved, so that nothing is at its neutral start."""
    generator = torch.Generator().manual_seed(3)
    for name, value in model.named_parameters():
        if value.requires_grad or ".lora_" in name or "modules_to_save" in name:
            value.data += 0.1 * torch.randn(value.shape, generator=generator).to(value.dtype)


def tensors_of(model):
    """The tensors of a model by their names in the files of its base: packed experts one by one, a tied head not at all."""
    state = {}
    kept = {}
    for name, value in model.state_dict().items():
        if value.data_ptr() in kept and name.startswith("lm_head"):
            continue
        kept[value.data_ptr()] = name
        value = value.detach().clone().float().contiguous()
        experts, _, part = name.rpartition(".experts.")
        if part == "gate_up_proj":
            for number, one in enumerate(value):
                for half, rows in zip(("gate_proj", "up_proj"), one.chunk(2)):
                    state[f"{experts}.experts.{number}.{half}.weight"] = rows.contiguous()
        elif part == "down_proj":
            for number, one in enumerate(value):
                state[f"{experts}.experts.{number}.{part}.weight"] = one.contiguous()
        else:
            state[name] = value
    return state


def write_case(folder, name, base, create, expected):
    place = os.path.join(folder, name)
    base_place = os.path.join(folder, f"base-{base}")
    model = bases(base)
    if not os.path.isdir(base_place):
        model.save_pretrained(base_place)
    model = AutoModelForCausalLM.from_pretrained(base_place, dtype=torch.float32)
    if name.startswith("resized"):
        model.resize_token_embeddings(163)
    torch.manual_seed(11)
    config = create()
    config.base_model_name_or_path = base_place
    adapted = get_peft_model(model, config)
    shake(adapted)
    adapted.eval()
    adapted.save_pretrained(os.path.join(place, "adapter"))
    facts = {"base": base_place, "expected": expected}
    if expected == "opened":
        tokens = torch.tensor([[1, 5, 3, 77, 159, 4]])
        with torch.no_grad():
            before = adapted(tokens).logits
            merged = adapted.merge_and_unload()
            after = merged(tokens).logits
        facts["difference"] = (before - after).abs().max().item()
        save_file(tensors_of(merged), os.path.join(place, "merged.safetensors"))
    with open(os.path.join(place, "expected.json"), "w") as file:
        json.dump(facts, file)


def write(folder):
    os.makedirs(folder, exist_ok=True)
    for name, (base, create, expected) in CASES.items():
        write_case(folder, name, base, create, expected)


def check(*paths):
    """Merges adapters as PEFT does: ADAPTER BASE OUT ADAPTER BASE OUT …"""
    for adapter, base, out in zip(paths[::3], paths[1::3], paths[2::3]):
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            model = PeftModel.from_pretrained(model, adapter)
        missing = [str(one.message) for one in said if "missing" in str(one.message).lower()]
        if missing:
            raise SystemExit("\n".join(missing))
        save_file(tensors_of(model.merge_and_unload()), out)


def load(*paths):
    """Loads whole checkpoints as transformers does, and saves what came of their tensors: MODEL OUT MODEL OUT …"""
    for model, out in zip(paths[::2], paths[1::2]):
        loaded, info = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, output_loading_info=True)
        problems = {key: sorted(map(str, value)) for key, value in info.items() if value}
        if problems:
            raise SystemExit(f"{model}: {json.dumps(problems)}")
        save_file(tensors_of(loaded), out)


if __name__ == "__main__":
    {"write": write, "check": check, "load": load}[sys.argv[1]](*sys.argv[2:])
