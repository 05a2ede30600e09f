"""Writes details by the real lighteval: python lighteval_details.py FOLDER, without network, by its dummy model.

One task of choices and one of texts; the file is its own module of custom tasks.
"""

import json
import os
import pathlib
import sys

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")

from lighteval.metrics.metrics import Metrics
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.registry import Registry
from lighteval.tasks.requests import Doc

# Its own tasks are not wanted: some of them ask the network as soon as they are looked at.
Registry._load_from_files = staticmethod(lambda files, module_prefix: {})
Registry._load_from_subdirs = staticmethod(lambda subdirs: {})

folder = pathlib.Path(os.environ.get("PEER_FOLDER") or sys.argv[1])


def ask_choice(line, task_name=None):
    return Doc(task_name=task_name, query=line["q"], choices=["no", "yes"], gold_index=line["g"])


def ask_text(line, task_name=None):
    return Doc(task_name=task_name, query=line["q"], choices=[line["a"]], gold_index=0)


def describe_task(name, ask, metric):
    return LightevalTaskConfig(
        name=name,
        prompt_function=ask,
        hf_repo=str(folder / "questions"),
        hf_subset="default",
        metrics=[metric],
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        generation_size=8,
        stop_sequence=["\n"],
    )


TASKS_TABLE = [
    describe_task("peer_choice", ask_choice, Metrics.loglikelihood_acc),
    describe_task("peer_text", ask_text, Metrics.exact_match),
]


def main():
    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.models.dummy.dummy_model import DummyModelConfig
    from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters

    os.environ["PEER_FOLDER"] = str(folder)
    (folder / "questions").mkdir(parents=True)
    # The dummy's only answer is right once.
    answers = ["random baseline" if number == 3 else str(number) for number in range(8)]
    lines = [json.dumps({"q": f"{number}?", "a": answer, "g": number % 2}) for number, answer in enumerate(answers)]
    (folder / "questions/test.jsonl").write_text("\n".join(lines))
    tracker = EvaluationTracker(output_dir=str(folder / "results"), save_details=True)
    pipeline = Pipeline(
        tasks="peer_choice|0,peer_text|0",
        pipeline_parameters=PipelineParameters(
            launcher_type=ParallelismManager.NONE, custom_tasks_directory=__file__, bootstrap_iters=0
        ),
        evaluation_tracker=tracker,
        model_config=DummyModelConfig(seed=1, cache_dir=str(folder / "cache")),
    )
    pipeline.evaluate()
    pipeline.save_and_push_results()


if __name__ == "__main__":
    main()
