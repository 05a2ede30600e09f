"""What real clients get of `untwist serve`, as JSON on the last line: python serve.py openai|lm-eval|inspect ADDRESS FOLDER.

ADDRESS ends with /v1; the model is called "served"; FOLDER holds its checkpoint (`model`) and takes what is written.
"""

import json
import os
import sys
from pathlib import Path

PROMPT = "rule J = 10 , Q = 10 , K = 10 ; c: 5 J 3 A ; show"
MESSAGES = [{"role": "user", "content": PROMPT}]


def name_error(call):
    import openai

    try:
        call()
    except openai.APIError as error:
        return [type(error).__name__, getattr(error, "status_code", None), getattr(error, "param", None)]
    return None


def use_openai(address, _folder):
    import openai

    client = openai.OpenAI(base_url=address, api_key="none", max_retries=0)
    chat, completions = client.chat.completions, client.completions
    usual = {"model": "served", "max_tokens": 12, "temperature": 0}
    whole = chat.create(messages=MESSAGES, logprobs=True, top_logprobs=3, **usual)
    parts = list(chat.create(messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **usual))
    several = completions.create(prompt=[PROMPT, PROMPT + " c:"], n=2, logprobs=2, **usual)
    stopped = completions.create(prompt=PROMPT, stop=[" n:"], **usual)
    flowing = list(completions.create(prompt=PROMPT, stream=True, **usual))
    limited = chat.create(messages=MESSAGES, model="served", max_completion_tokens=3, temperature=0)
    drawn = [
        completions.create(prompt=PROMPT, model="served", max_tokens=12, temperature=1.5, seed=5).choices[0].text
        for _ in range(2)
    ]
    # A client that gives up, and one that leaves a stream: neither keeps the server from the next.
    impatient = client.with_options(timeout=0.001)
    timeout = name_error(lambda: impatient.chat.completions.create(messages=MESSAGES, **usual))
    left = chat.create(messages=MESSAGES, model="served", stream=True)
    next(iter(left))
    left.close()
    top = whole.choices[0].logprobs.content
    return {
        "models": [model.id for model in client.models.list()],
        "retrieved": client.models.retrieve("served").id,
        "text": whole.choices[0].message.content,
        "usage": whole.usage.total_tokens,
        "logprobs": [[one.token, one.logprob, one.top_logprobs[0].token] for one in top],
        "streamed": "".join(part.choices[0].delta.content or "" for part in parts if part.choices),
        "streamedUsage": parts[-1].usage.total_tokens,
        "numParts": len(parts),
        "several": [[choice.index, choice.text] for choice in several.choices],
        "stopped": [stopped.choices[0].text, stopped.choices[0].finish_reason],
        "flowing": "".join(part.choices[0].text for part in flowing),
        "limited": limited.usage.completion_tokens,
        "drawn": drawn,
        "timeout": timeout,
        "errors": {
            "unknown model": name_error(lambda: chat.create(messages=MESSAGES, model="other")),
            "unknown model, retrieved": name_error(lambda: client.models.retrieve("other")),
            "tools": name_error(
                lambda: chat.create(messages=MESSAGES, tools=[{"type": "function", "function": {"name": "f"}}], **usual)
            ),
            "format": name_error(
                lambda: chat.create(messages=MESSAGES, response_format={"type": "json_object"}, **usual)
            ),
            "too long": name_error(lambda: completions.create(prompt=PROMPT, model="served", max_tokens=1000)),
            "unknown words": name_error(lambda: completions.create(prompt="Hello there", **usual)),
        },
        "afterwards": chat.create(messages=MESSAGES, **usual).choices[0].message.content,
    }


def write_tasks(folder):
    """Two tasks of lm-eval on the model's own words: one is scored by likelihood, one generates."""
    hands = ["5 J 3 A", "2 2 10 7", "Q K 4 9", "8 8 3 3", "A 2 3 4", "6 J 6 2"]
    rows = [
        {"prompt": f"rule J = 10 , Q = 10 , K = 10 ; c: {hand} ; show", "choices": [hand, "9 9 9 9"], "answer": 0}
        for hand in hands
    ]
    data = folder / "hands.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = f"""dataset_path: json
dataset_kwargs: {{data_files: {{test: {json.dumps(str(data))}}}}}
test_split: test
doc_to_text: "{{{{prompt}}}}"
"""
    (folder / "likely.yaml").write_text(
        f"""task: likely
{common}output_type: multiple_choice
target_delimiter: " c: "
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
    )
    (folder / "written.yaml").write_text(
        f"""task: written
{common}output_type: generate_until
doc_to_target: "{{{{choices[0]}}}}"
generation_kwargs: {{until: [" n:", "never said"], max_gen_toks: 20, do_sample: false, temperature: 0}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
    )


def use_lm_eval(address, folder):
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf"), "TOKENIZERS_PARALLELISM": "false"}
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    write_tasks(folder)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    model = folder / "model"
    ways = {
        "hf": ("hf", f"pretrained={model},dtype=float32,max_length=128"),
        "served": (
            "local-completions",
            f"model=served,base_url={address}/completions,tokenizer={model},"
            "tokenizer_backend=huggingface,max_length=128,num_concurrent=1",
        ),
        "served as text": (
            "local-completions",
            f"model=served,base_url={address}/completions,tokenizer={model},"
            "tokenizer_backend=huggingface,tokenized_requests=False,max_length=128,num_concurrent=1",
        ),
    }
    found = {}
    for name, (kind, arguments) in ways.items():
        results = simple_evaluate(
            model=kind,
            model_args=arguments,
            tasks=["likely", "written"],
            task_manager=manager,
            batch_size=4,
            device="cpu" if kind == "hf" else None,
            log_samples=True,
            bootstrap_iters=0,
        )
        found[name] = {
            task: [sample["resps"] for sample in sorted(samples, key=lambda one: one["doc_id"])]
            for task, samples in results["samples"].items()
        }
    return found


def use_inspect(address, folder):
    os.environ |= {"UNTWIST_BASE_URL": address, "UNTWIST_API_KEY": "none", "INSPECT_LOG_DIR": str(folder / "logs")}
    from inspect_ai import Task, eval as run
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig
    from inspect_ai.scorer import includes

    task = Task(
        dataset=[Sample(input=PROMPT, target="c: 5 J 3 A"), Sample(input=PROMPT, target="impossible")],
        scorer=includes(),
        config=GenerateConfig(max_tokens=12, temperature=0, seed=1, stop_seqs=[" never"], logprobs=True, top_logprobs=2),
    )
    [log] = run(task, model="openai-api/untwist/served", display="none")
    samples = log.samples or []
    return {
        "status": log.status,
        "error": None if log.error is None else log.error.message,
        "texts": [sample.output.completion for sample in samples],
        "scores": [sample.scores["includes"].value for sample in samples],
        "stops": [sample.output.stop_reason for sample in samples],
        "tokens": [[one.token for one in sample.output.choices[0].logprobs.content] for sample in samples],
        "usage": [sample.output.usage.total_tokens for sample in samples],
    }


if __name__ == "__main__":
    kind, address, folder = sys.argv[1:]
    ways = {"openai": use_openai, "lm-eval": use_lm_eval, "inspect": use_inspect}
    result = ways[kind](address, Path(folder))
    print()
    print(json.dumps(result))
