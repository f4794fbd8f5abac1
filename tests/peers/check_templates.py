#!/usr/bin/env python3
"""Compares chat templates rendered by Lathe with transformers: text, {% generation %} ranges and ids.

    python tests/peers/check_templates.py RENDER_CHAT [--count N] [TEMPLATE.jinja ...]

RENDER_CHAT is the program built from render_chat.cpp. Without names: the committed templates and those in
../shared/data (or $LATHE_SHARED_DATA) where that folder is there. Exit code 1 when anything differs.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import chat_cases

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "templates"
MARKERS = ["<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
           "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "[TOOL_CALLS]", "<|user|>", "<|assistant|>", "<|system|>",
           "<|end|>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"]


def templates(names):
    if names:
        return [pathlib.Path(name) for name in names]
    shared = pathlib.Path(os.environ.get("LATHE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    found = sorted(FIXTURES.glob("*.jinja")) + sorted((shared / "chat_templates").glob("*.jinja"))
    found += sorted((shared / "tokenizers" / "huggingface").rglob("chat_template.jinja"))
    if not shared.is_dir():
        print(f"skipped: the published templates, for there is no {shared}")
    return found


class Renderer:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def make_tokenizers(folder):
    """A byte-level BPE and a SentencePiece-like one with a prefix space, both with everybody's markers."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    corpus = [json.dumps(chat_cases.conversation(seed, False), ensure_ascii=False) for seed in range(200)]
    made = []
    for name in ("bytes", "metaspace"):
        if name == "bytes":
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            alphabet = pre_tokenizers.ByteLevel.alphabet()
        else:
            tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
            tokenizer.decoder = decoders.Metaspace()
            alphabet = []
        trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False,
                                      special_tokens=MARKERS + [f"<0x{b:02X}>" for b in range(256)] * (name != "bytes"))
        tokenizer.train_from_iterator(corpus, trainer)
        if name == "metaspace":   # bytes are plain tokens of the vocabulary, not added ones
            data = json.loads(tokenizer.to_str())
            data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] in MARKERS]
            tokenizer = Tokenizer.from_str(json.dumps(data))
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
        fast.save_pretrained(folder / name)
        made.append((str(folder / name), fast))
    return made


def differences(render, path, count, tokenizers):
    source = path.read_text(encoding="utf-8")
    wrong, refused = [], 0
    for seed in range(count):
        special = seed % 2 == 0
        request = {"template": source, **chat_cases.conversation(seed, special)}
        wanted = chat_cases.reference(source, request)
        folder, fast = tokenizers[seed // 2 % len(tokenizers)]
        if not special and "text" in wanted:
            request["tokenizer"] = folder
            wanted["ids"] = fast(wanted["text"], add_special_tokens=False)["input_ids"]
        found = render(request)
        refused += "error" in wanted
        same = "error" in found if "error" in wanted else found == wanted
        if not same:
            wrong.append((seed, wanted, found))
    return wrong, refused


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("templates", nargs="*")
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        render = Renderer(arguments.program)
        tokenizers = make_tokenizers(pathlib.Path(folder))
        for path in templates(arguments.templates):
            wrong, refused = differences(render, path, arguments.count, tokenizers)
            failures += bool(wrong)
            print(f"{'DIFFERS' if wrong else 'ok'}  {path.name}: {len(wrong)} of {arguments.count} conversations differ, "
                  f"{refused} are refused by both")
            for seed, wanted, found in wrong[:3]:
                print(f"    seed {seed}\n      wanted {json.dumps(wanted)[:1500]}\n      found  {json.dumps(found)[:1500]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
