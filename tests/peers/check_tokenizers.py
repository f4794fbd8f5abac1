#!/usr/bin/env python3
"""Compares `lathe tokenize` with the tokenizers and sentencepiece libraries, id by id.

    python tests/peers/check_tokenizers.py LATHE TOKENIZER... [--texts FILE_OR_FOLDER]...

A TOKENIZER is a tokenizer.json, a folder with one, or a SentencePiece .model. Texts are the committed hard texts, random
mixtures of tricky fragments, the .py files of this Python, and what --texts names. Needs `pip install tokenizers
sentencepiece`. Exit code 1 when any id differs.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import sysconfig

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "unit/data/tokenizers/fixtures"
FRAGMENTS = ["'", " ", "  ", "\t", "\n", "\r", "s", "S", "\u017f", "T", "re", "LL", "l", "ve", "d", "M", "\u00e9", "e\u0301",
             "\u65e5\u672c", "\u00df", "\u0130", "1", "23", "4567", "\u00bd", "\u2167", "!", "?!", "_", "-", "\u00a0", "\u3000",
             "\u180e", "\u200b", "\u0085", "\u2028", "\U0001f600", "\U0001f468\u200d\U0001f469", "\x00", "\x1c", "\x7f",
             "\ufb01", "\uff21", "\u2460", "\uff8a\uff9f", "\ud55c\uad6d", "\u0905\u0928\u0941", "\ufdfa", "<s>", "</s>",
             "<|endoftext|>", "<unk>", "<0x0A>", "\u0120", "\u0153", "\u2019", "\u00b0", "def ", "    "]


def read_text(path):
    return path.read_text(encoding="utf-8", newline="") if sys.version_info >= (3, 13) else path.read_bytes().decode("utf-8")


def texts(extra):
    out = json.loads((FIXTURES / "texts.json").read_text())
    draw = random.Random(7)
    out += ["".join(draw.choice(FRAGMENTS) for _ in range(draw.randint(1, 12))) for _ in range(3000)]
    files = sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:60]
    for path in map(pathlib.Path, extra):
        files += sorted(path.rglob("*.txt")) if path.is_dir() else [path]
    for path in files:
        try:
            out.append(read_text(path)[:300000])
        except UnicodeDecodeError:
            pass
    return out


def ours(lathe, tokenizer, batch):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in batch)
    run = subprocess.run([lathe, "tokenize", "--tokenizer", str(tokenizer), "--lines"], input=lines.encode(),
                         stdout=subprocess.PIPE, check=True)
    return [json.loads(line)["ids"] for line in run.stdout.split(b"\n") if line.strip()]


def reference(path):
    file = path / "tokenizer.json" if path.is_dir() else path
    if file.suffix == ".json":
        import tokenizers
        tokenizer = tokenizers.Tokenizer.from_file(str(file))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True  # control tokens in user text are text
        return lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    import sentencepiece
    return sentencepiece.SentencePieceProcessor(model_file=str(file)).encode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lathe")
    parser.add_argument("tokenizers", nargs="*")
    parser.add_argument("--texts", action="append", default=[])
    arguments = parser.parse_args()
    batch = texts(arguments.texts)
    paths = [pathlib.Path(p) for p in arguments.tokenizers] or sorted(FIXTURES.glob("*.tokenizer.json"))
    failures = 0
    for path in paths:
        encode = reference(path)
        found = ours(arguments.lathe, path, batch)
        if len(found) != len(batch):
            raise SystemExit(f"{path}: wanted {len(batch)} lines, found {len(found)}")
        wrong = [(text, ids) for text, ids in zip(batch, found) if ids != encode(text)]
        failures += bool(wrong)
        print(f"{'ok' if not wrong else 'DIFFERS'}  {path}: {len(wrong)} of {len(batch)} texts differ")
        for text, ids in wrong[:3]:
            print(f"    {text[:80]!r}\n      lathe     {ids[:20]}\n      reference {list(encode(text))[:20]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
