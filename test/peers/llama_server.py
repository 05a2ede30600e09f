"""The server of llama.cpp on a GGUF file: llama_server.py FILE PORT. Ends with its input."""

import sys

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.port = int(sys.argv[2])
params.model_alias = {"smollm2"}
params.n_ctx = 4096
params.n_parallel = 4
server = xllamacpp.Server(params)
sys.stdin.read()
