"""Writes checkpoints by the real libraries, and what is in them as safetensors: python savers.py OUT [--few].

Needs torch (2.6 or newer), safetensors, numpy and gguf. OUT/cases.json maps the path of each checkpoint to the file of what is
expected. With --few only some stay: test/golden/savers was made so, by torch 2.15.0 and gguf 0.19.0.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

CONFIG = {"model_type": "llama", "hidden_size": 5}


def build(seed=0):
    """Tensors of uneven sizes; the names are those of no particular model."""
    torch.manual_seed(seed)
    return OrderedDict(
        [
            ("model.embed_tokens.weight", torch.randn(7, 5, dtype=torch.bfloat16)),
            ("model.layers.0.mlp.up_proj.weight", torch.randn(3, 5)),
            ("model.norm.weight", torch.randn(5, dtype=torch.float16)),
        ]
    )


class Output:
    def __init__(self, root):
        self.root = Path(root)
        self.cases = {}

    def folder(self, name, config=True):
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        if config:
            (path / "config.json").write_text(json.dumps(CONFIG))
        return path

    def expect(self, name, tensors):
        file = f"{name.split('/')[0]}.expected.safetensors"
        # Contiguous copies: safetensors refuses shared storages.
        save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()}, self.root / file)
        self.cases[name] = file


def save_torch(out):
    tensors = build()
    path = out.folder("torch")
    torch.save(tensors, path / "pytorch_model.bin")
    out.expect("torch", tensors)

    path = out.folder("torch-shards")
    names = list(tensors)
    files = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    shards = {files[0]: names[:2], files[1]: names[2:]}
    for file, keys in shards.items():
        torch.save({key: tensors[key] for key in keys}, path / file)
    index = {"metadata": {}, "weight_map": {key: file for file, keys in shards.items() for key in keys}}
    (path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    out.expect("torch-shards", tensors)

    path = out.folder("torch-legacy", config=False)
    torch.save(tensors, path / "x.pth", _use_new_zipfile_serialization=False)
    out.expect("torch-legacy/x.pth", tensors)

    base = torch.arange(60, dtype=torch.float32).reshape(4, 15)
    views = {
        "transposed": base.t(),
        "slice": base[1:3, 4:11:2],
        "again": base,
        "parameter": torch.nn.Parameter(torch.randn(2, 3)),
        "cube": torch.arange(24, dtype=torch.int16).reshape(2, 3, 4).permute(2, 0, 1),
        "number": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.empty(0, 4),
        "eight": torch.randn(6).to(torch.float8_e4m3fn),
        "counts": torch.arange(5).to(torch.uint16),
        "flags": torch.tensor([True, False]),
    }
    path = out.folder("torch-views", config=False)
    torch.save(views, path / "x.pt")
    out.expect("torch-views/x.pt", views)

    linear = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(linear.parameters())
    linear(torch.randn(2, 3)).sum().backward()
    optimizer.step()
    path = out.folder("torch-trainer", config=False)
    saved = {"model": linear.state_dict(), "optimizer": optimizer.state_dict(), "step": 3, "loss": torch.tensor(1.0)}
    torch.save(saved, path / "ckpt.pt")
    out.expect("torch-trainer/ckpt.pt", linear.state_dict())


def work(root):
    """What each of four processes does."""
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    tensors = build(1)

    def spread(mesh, *placements):
        return OrderedDict((key, distribute_tensor(value, mesh, placements)) for key, value in tensors.items())

    flat = init_device_mesh("cpu", (world,), mesh_dim_names=("fsdp",))
    square = init_device_mesh("cpu", (2, world // 2), mesh_dim_names=("ddp", "fsdp"))
    for name, state in {
        "verl": spread(flat, Shard(0)),
        "verl-copies": spread(square, Replicate(), Shard(0)),
    }.items():
        os.makedirs(f"{root}/{name}", exist_ok=True)
        torch.save(state, f"{root}/{name}/model_world_size_{world}_rank_{rank}.pt")
    square_state = OrderedDict(
        (key, distribute_tensor(value, square, [Shard(0), Shard(value.dim() - 1)])) for key, value in tensors.items()
    )
    state = {"model": spread(flat, Shard(0)), "optim": {"state": {"0": torch.ones(3)}, "lr": 0.1}}
    dcp.save(state, checkpoint_id=f"{root}/dcp")
    dcp.save({"app": {"model": square_state}, "step": 3}, checkpoint_id=f"{root}/dcp-app")
    dcp.save(spread(flat, Shard(0)), checkpoint_id=f"{root}/dcp-flat")
    writer = dcp.HuggingFaceStorageWriter(path=f"{root}/dcp-hf", save_distributed=True)
    dcp.save(spread(flat, Shard(0)), storage_writer=writer)
    dist.barrier()
    dist.destroy_process_group()


def save_distributed(out):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "4", __file__, str(out.root)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1", "UNTWIST_SAVERS_WORKER": "1"})
    for name in ["verl", "verl-copies", "dcp", "dcp-app", "dcp-flat", "dcp-hf"]:
        out.expect(name, build(1))
    # Nothing in its files says how large a tensor is.
    with open(f"{out.root}/dcp-hf/config.json", "w") as file:
        json.dump({"model_type": "llama", "vocab_size": 7, "hidden_size": 5}, file)


def save_gguf(out):
    import gguf
    import numpy as np
    from gguf import GGMLQuantizationType as Type

    random = np.random.default_rng(0)
    heads, key_heads, columns = 2, 1, 256

    def permute(weights, count):
        """convert_hf_to_gguf.py of llama.cpp, LlamaModel.permute."""
        shape = (count, 2, weights.shape[0] // count // 2, *weights.shape[1:])
        return weights.reshape(shape).swapaxes(1, 2).reshape(weights.shape)

    path = out.folder("gguf", config=False)
    writer = gguf.GGUFWriter(path / "x.gguf", "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(columns)
    writer.add_feed_forward_length(4)
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list([f"<{index}>" for index in range(5)])
    expected = {}

    def add(name, target, stored, kind, values):
        writer.add_tensor(name, stored, raw_dtype=kind)
        expected[target] = torch.from_numpy(values)

    plain = [
        ("token_embd.weight", "model.embed_tokens.weight", (5, columns), np.float16, Type.F16),
        ("output_norm.weight", "model.norm.weight", (columns,), np.float32, Type.F32),
        ("blk.0.attn_q.bias", "model.layers.0.self_attn.q_proj.bias", (8,), np.float32, Type.F32),
        ("blk.0.attn_k.weight", "model.layers.0.self_attn.k_proj.weight", (4, columns), np.float32, Type.F32),
    ]
    for name, target, shape, kind, number in plain:
        values = random.standard_normal(shape).astype(kind)
        count = {"blk.0.attn_q.bias": heads, "blk.0.attn_k.weight": key_heads}.get(name)
        add(name, target, values if count is None else permute(values, count), number, values)
    layer = "model.layers.0."
    quantized = [
        ("blk.0.attn_q.weight", layer + "self_attn.q_proj.weight", 8, Type.Q8_0),
        ("blk.0.attn_v.weight", layer + "self_attn.v_proj.weight", 1, Type.Q4_0),
        ("blk.0.attn_output.weight", layer + "self_attn.o_proj.weight", 1, Type.Q4_1),
        ("blk.0.ffn_gate.weight", layer + "mlp.gate_proj.weight", 1, Type.Q5_0),
        ("blk.0.ffn_up.weight", layer + "mlp.up_proj.weight", 1, Type.Q5_1),
        ("extra.q2", "extra.q2", 1, Type.Q2_K),
        ("extra.q3", "extra.q3", 1, Type.Q3_K),
        ("extra.q4", "extra.q4", 1, Type.Q4_K),
        ("extra.q5", "extra.q5", 1, Type.Q5_K),
        ("extra.q6", "extra.q6", 1, Type.Q6_K),
    ]
    # Where the halves are that scale a block: all other bytes may be anything.
    scales = {Type.Q4_1: [0, 2], Type.Q5_1: [0, 2], Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2]}
    scales |= {Type.Q5_K: [0, 2], Type.Q6_K: [208]}
    for name, target, rows, kind in quantized:
        size, num_bytes = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (rows * columns // size, num_bytes), dtype=np.uint8)
        for start in scales.get(kind, [0]):
            halves = random.standard_normal(blocks.shape[0]).astype(np.float16)
            blocks[:, start : start + 2] = halves.view(np.uint8).reshape(-1, 2)
        stored = blocks.reshape(rows, -1)
        values = gguf.dequantize(stored, kind)
        if name == "blk.0.attn_q.weight":
            lines = np.arange(rows)
            values = values[np.argsort(permute(lines, heads))]
        add(name, target, stored, kind, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    out.expect("gguf/x.gguf", expected)


def main():
    if os.environ.get("UNTWIST_SAVERS_WORKER"):
        work(sys.argv[1])
        return
    out = Output(sys.argv[1])
    save_torch(out)
    save_distributed(out)
    save_gguf(out)
    if "--few" in sys.argv:
        for name in ["verl", "dcp", "dcp-flat"]:
            shutil.rmtree(out.root / name)
            (out.root / out.cases.pop(name)).unlink()
    (out.root / "cases.json").write_text(json.dumps(out.cases, indent=2) + "\n")


if __name__ == "__main__":
    main()
