"""Runs a GGUF file in llama.cpp: run_llama_cpp.py FILE < {"texts": [...], "prompt_ids": [...], "greedy": n} -> {"ids", "greedy"}.

For the environment of `scripts/peers_env llama_cpp`, which has llama-cpp-python and nothing else.
"""
import json
import sys

from llama_cpp import Llama

request = json.load(sys.stdin)
model = Llama(sys.argv[1], n_ctx=256, n_threads=2, n_batch=128, verbose=False, seed=1)
ids = [model.tokenize(text.encode(), add_bos=False, special=False) for text in request["texts"]]
made = []
for token in model.generate(request["prompt_ids"], top_k=1, temp=0.0, repeat_penalty=1.0):
    made.append(token)
    if len(made) >= request["greedy"]:
        break
json.dump({"ids": ids, "greedy": made}, sys.stdout)
