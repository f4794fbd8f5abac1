#!/usr/bin/env python3
"""Writes tests/unit/data/tokenizers/fixtures/clip_folder: a small vocabulary in the older layout of CLIP's tokenizer (vocab.json,
merges.txt), and what transformers' CLIPTokenizer makes of the hard texts.

    "$(scripts/peers_env)" scripts/make_clip_goldens.py

The tokenizers library's trainer breaks ties by chance for such vocabularies; what is committed is one outcome.
"""
import json
import tempfile

import transformers
from make_tokenizer_goldens import CLIP, CORPUS, FOLDER, GPT2_BYTES, TEXTS
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

PINNED = "5.23.0"
LENGTH = 16
CAPTIONS = ["A Red Circle, on the LEFT", "a photo of the dog's  hat", "\u00c9T\u00c9 \u00e0 No\u00ebl \u2014 c\u0153ur", "we've they'll I'D it's",
            "\U0001f600\U0001f680 rocket \u65e5\u672c\u8a9e 2024", " tab\tand\nnewline\u3000wide " + " " * 40 + "end", "</w> is text", "\x1c \x85 x",
            "one two three four five six seven eight nine ten eleven twelve"]


def train():
    """Merges by the library, ids in CLIP's order: bytes, bytes that end a word, merges, begin and end of text."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CLIP), "removed", invert=True), GPT2_BYTES])
    tokenizer.train_from_iterator(CORPUS + CAPTIONS * 2, trainers.BpeTrainer(
        vocab_size=460, end_of_word_suffix="</w>", initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    merges = [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = alphabet + [c + "</w>" for c in alphabet] + [a + b for a, b in merges] + ["<|startoftext|>", "<|endoftext|>"]
    return {token: index for index, token in enumerate(dict.fromkeys(tokens))}, merges


def main():
    if transformers.__version__ != PINNED:
        raise SystemExit(f"wanted transformers {PINNED}, found {transformers.__version__}")
    folder = FOLDER / "clip_folder"
    folder.mkdir(exist_ok=True)
    vocabulary, merges = train()
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0) + "\n")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    control = {"content": "<|endoftext|>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    names = {"bos_token": {**control, "content": "<|startoftext|>"}, "eos_token": control, "pad_token": "<|endoftext|>", "unk_token": control}
    (folder / "special_tokens_map.json").write_text(json.dumps(names) + "\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, **names}) + "\n")
    with tempfile.TemporaryDirectory() as copy:   # what the library caches beside the files is not committed
        for path in folder.iterdir():
            if path.name != "expected.json":
                (type(path)(copy) / path.name).write_bytes(path.read_bytes())
        tokenizer = transformers.CLIPTokenizer.from_pretrained(copy)
        cases = []
        for text in TEXTS + CAPTIONS:
            if "<|" in text:   # control tokens in user text are text here, control tokens there
                continue
            ids = tokenizer(text)["input_ids"]
            row = tokenizer(text, padding="max_length", truncation=True, max_length=LENGTH)["input_ids"]
            cases.append({"text": text, "ids": ids, "row": row, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
    (folder / "expected.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
