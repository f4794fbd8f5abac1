"""Runs a GGUF file in llama.cpp: run_llama_cpp.py FILE < request -> answer, both JSON.

request: {"texts": [...], "prompt_ids": [...], "greedy": n} -> {"ids", "greedy"}
         {"score_ids": [...], "window": T} -> {"loss"}: mean -log p of ids 1.. in windows of T inputs, as `lathe evaluate` cuts them
         {"quantize": "Q8_0" | "Q4_K_M", "output": PATH} -> {}: llama.cpp's own quantised file
For the environment of `scripts/peers_env llama_cpp`, which has llama-cpp-python and nothing else.
"""
import json
import sys

import llama_cpp
import numpy
from llama_cpp import Llama


def quantize(path, kind, output):
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.nthread = 1
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    code = llama_cpp.llama_model_quantize(path.encode(), output.encode(), parameters)
    if code != 0:
        sys.exit(f"llama_model_quantize: {code}")


def loss_of(model, ids, window):
    total = 0.0
    for begin in range(0, len(ids) - 1, window):
        inputs, targets = ids[begin : begin + window], ids[begin + 1 : begin + window + 1]
        inputs = inputs[: len(targets)]
        model.reset()
        model.eval(inputs)
        logits = numpy.asarray(model.scores[: len(inputs)], dtype=numpy.float64)
        logits -= logits.max(axis=1, keepdims=True)
        logs = logits - numpy.log(numpy.exp(logits).sum(axis=1, keepdims=True))
        total -= logs[numpy.arange(len(targets)), targets].sum()
    return total / (len(ids) - 1)


def main():
    request = json.load(sys.stdin)
    if "quantize" in request:
        quantize(sys.argv[1], request["quantize"], request["output"])
        return {}
    scored = "score_ids" in request
    model = Llama(sys.argv[1], n_ctx=256, n_threads=1, n_threads_batch=1, n_batch=256, verbose=False, seed=1, logits_all=scored)
    if scored:
        return {"loss": loss_of(model, request["score_ids"], request["window"])}
    ids = [model.tokenize(text.encode(), add_bos=False, special=False) for text in request["texts"]]
    made = []
    for token in model.generate(request["prompt_ids"], top_k=1, temp=0.0, repeat_penalty=1.0):
        made.append(token)
        if len(made) >= request["greedy"]:
            break
    return {"ids": ids, "greedy": made}


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
