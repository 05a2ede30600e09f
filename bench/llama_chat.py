"""llama.cpp's side of the chat benchmark, by the package xllamacpp (its server inside this process, no HTTP).

make writes a GGUF in f16 of the folder that pytorch_chat.py made, with an invented vocabulary, as only token numbers
are used; it needs gguf, torch and safetensors. run needs xllamacpp. Tasks: stream1 (64 prompt tokens, 128 new ones,
greedy) and prefill (512 tokens and one new token, which is one draw from the prompt's last logits).

Run: python llama_chat.py make FOLDER GGUF | run GGUF TASK [--seconds S]
"""

import argparse
import json
import pathlib
import random
import resource
import statistics
import time

PROMPT, NEW, PREFILL = 64, 128, 512
THREADS = 2


def permute(weight, heads):
    """llama.cpp turns neighbouring pairs where transformers turns halves: the order of rows for that."""
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def invented_vocabulary(size):
    """Tokens, scores and kinds of a SentencePiece vocabulary: three special ones, the bytes, and numbers."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{n:02X}>" for n in range(256)]
    kinds = [2, 3, 3] + [6] * 256
    rest = size - len(tokens)
    return tokens + [f"t{n}" for n in range(rest)], [0.0] * size, kinds + [1] * rest


def write_settings(writer, config):
    heads = config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(1)  # mostly f16
    tokens, scores, kinds = invented_vocabulary(config["vocab_size"])
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)


def make(folder, path):
    import gguf
    import numpy
    import torch
    from safetensors.torch import load_file

    config = json.loads((pathlib.Path(folder) / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    write_settings(writer, config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, tensor in load_file(pathlib.Path(folder) / "model.safetensors").items():
        weight = tensor.to(torch.float32).numpy()
        module = name.split(".")[-2]
        if module in heads:
            weight = permute(weight, heads[module])
        kind = numpy.float16 if weight.ndim == 2 else numpy.float32
        writer.add_tensor(names.get_name(name, (".weight",)), numpy.ascontiguousarray(weight, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def create_server(path):
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_ctx = 1024
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.fit_params = False
    params.verbosity = 0
    return xllamacpp.Server(params)


def complete(server, prompt, new):
    """The server's answer to a prompt of token numbers."""
    answer = server.handle_completions(
        {
            "prompt": prompt,
            "n_predict": new,
            "max_tokens": new,
            "temperature": 0,
            "samplers": ["top_k"],
            "top_k": 1,
            "ignore_eos": True,
            "cache_prompt": False,
            "return_tokens": True,
        }
    )
    return json.loads(answer) if isinstance(answer, str | bytes) else answer


def run(path, task, seconds):
    length, new = (PROMPT, NEW) if task == "stream1" else (PREFILL, 1)
    server, chance = create_server(path), random.Random(2)
    prompt = [chance.randrange(300, 49152) for _ in range(length)]
    amount = new if task == "stream1" else length
    answer = complete(server, prompt, new)
    times = []
    while len(times) < 2 or sum(times) < seconds:
        start = time.perf_counter()
        answer = complete(server, prompt, new)
        times.append(time.perf_counter() - start)
    usage = answer.get("usage", {})
    line = {
        "task": task,
        "form": "llama.cpp-f16",
        "rate": round(amount / statistics.median(times), 2),
        "unit": "tokens/s",
        "torch": None,
        "threads": THREADS,
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "best": round(amount / min(times), 2),
        "calls": len(times),
        "read": usage.get("prompt_tokens"),
        "written": usage.get("completion_tokens"),
    }
    print(json.dumps(line), flush=True)


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    makes = commands.add_parser("make")
    makes.add_argument("folder")
    makes.add_argument("gguf")
    runs = commands.add_parser("run")
    runs.add_argument("gguf")
    runs.add_argument("task", choices=["stream1", "prefill"])
    runs.add_argument("--seconds", type=float, default=10)
    options = parser.parse_args()
    if options.command == "make":
        make(options.folder, options.gguf)
    else:
        run(options.gguf, options.task, options.seconds)


if __name__ == "__main__":
    main()
