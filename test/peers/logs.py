"""Writes logs by the real lm-evaluation-harness and Inspect, and reads ours by their own loaders.

    python logs.py write FOLDER       lm/<step>/samples_*.jsonl (a task of two repeats and one with choices)
    python logs.py table RESULTS      lm_eval.utils.make_table of results_*.json
    python logs.py scalars FOLDER     the scalars of event files by TensorBoard's EventAccumulator, as JSON
"""
import json
import os
import sys


def write(folder):
    """Samples of lm-evaluation-harness: its evaluator and tracker on its own dummy model, without network."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    os.makedirs(f"{folder}/tasks", exist_ok=True)
    with open(f"{folder}/tasks/q.jsonl", "w") as file:
        for n in range(8):
            file.write(json.dumps({"q": f"{n}?", "a": str(n), "c": ["no", "yes"], "g": n % 2}) + "\n")
    common = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": f"{folder}/tasks/q.jsonl"}}, "test_split": "test"}
    text = {**common, "task": "peer_text", "doc_to_text": "{{q}}", "doc_to_target": "{{a}}", "output_type": "generate_until", "repeats": 2,
            "generation_kwargs": {"until": ["\n"]}, "metric_list": [{"metric": "exact_match"}]}
    choice = {**common, "task": "peer_choice", "doc_to_text": "{{q}}", "doc_to_target": "g", "doc_to_choice": "c", "output_type": "multiple_choice",
              "metric_list": [{"metric": "acc"}]}
    tracker = EvaluationTracker(output_path=f"{folder}/lm")
    results = simple_evaluate(model="dummy", tasks=[text, choice], task_manager=TaskManager(), log_samples=True, bootstrap_iters=0, evaluation_tracker=tracker)
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in results["configs"]:
        tracker.save_results_samples(task_name=task, samples=samples[task])


def table(path):
    from lm_eval.utils import make_table

    print(make_table(json.load(open(path))))


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    print(json.dumps({tag: [[one.step, one.value] for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}))


if __name__ == "__main__":
    {"write": write, "table": table, "scalars": scalars}[sys.argv[1]](sys.argv[2])
