"""Runs a GGUF file in llama.cpp: run_llama_cpp.py FILE < request -> answer, both JSON.

request: {"texts": [...], "special": bool, "prompt_ids": [...], "greedy": n} -> {"ids", "greedy", "trained_context"}; with `special`
         what a file's tables add is added and control tokens in texts are read as such
         {"chat": [messages ...]} -> {"texts", "ids"}: the file's own chat template, run by llama-cpp-python
         {"score_ids": [...], "window": T} -> {"loss"}: mean -log p of ids 1.. in windows of T inputs, as `lathe evaluate` cuts them
         {"quantize": "Q8_0" | "Q4_K_M", "output": PATH} -> {}: llama.cpp's own quantised file
For the environment of `scripts/peers_env llama_cpp`, which has llama-cpp-python and nothing else.
"""
import json
import sys

import llama_cpp
import numpy
from llama_cpp import Llama
from llama_cpp.llama_chat_format import Jinja2ChatFormatter


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


def render(model, conversations):
    """As its create_chat_completion makes prompts, but for the invitation to answer."""
    def text_of(key):
        return model.metadata.get(f"tokenizer.ggml.{key}_token_id") and model._model.token_get_text(int(model.metadata[f"tokenizer.ggml.{key}_token_id"]))
    formatter = Jinja2ChatFormatter(template=model.metadata["tokenizer.chat_template"], bos_token=text_of("bos") or "",
                                    eos_token=text_of("eos") or "", add_generation_prompt=False)
    texts = [formatter(messages=messages).prompt for messages in conversations]
    return {"texts": texts, "ids": [model.tokenize(text.encode(), add_bos=False, special=True) for text in texts]}


def main():
    request = json.load(sys.stdin)
    if "quantize" in request:
        quantize(sys.argv[1], request["quantize"], request["output"])
        return {}
    scored = "score_ids" in request
    model = Llama(sys.argv[1], n_ctx=256, n_threads=1, n_threads_batch=1, n_batch=256, verbose=False, seed=1, logits_all=scored)
    if scored:
        return {"loss": loss_of(model, request["score_ids"], request["window"])}
    if "chat" in request:
        return render(model, request["chat"])
    special = request.get("special", False)
    ids = [model.tokenize(text.encode(), add_bos=special, special=special) for text in request["texts"]]
    made = []
    for token in model.generate(request["prompt_ids"], top_k=1, temp=0.0, repeat_penalty=1.0):
        made.append(token)
        if len(made) >= request["greedy"]:
            break
    return {"ids": ids, "greedy": made, "trained_context": model._model.n_ctx_train()}


if __name__ == "__main__":
    json.dump(main(), sys.stdout)
