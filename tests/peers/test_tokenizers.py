"""Ids of published tokenizers beside the tokenizers and sentencepiece libraries' on the published hard texts, where the shared data
are. The committed copies (tests/unit/data/tokenizers/fixtures) are compared here too."""
import json
import os
import shutil
import sys
import unittest
from pathlib import Path

import tokenizers

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from check_tokenizers import FIXTURES, ours, reference
from program import LATHE, ROOT, Case

SHARED = Path(os.environ.get("LATHE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "tokenizers"


def hard_texts():
    texts = json.loads((SHARED / "hard_texts" / "blns.json").read_text(encoding="utf-8"))
    written = (SHARED / "hard_texts" / "ggml-vocab-gpt-2.gguf.inp").read_bytes().decode("utf-8")
    return texts + written.split("\n__ggml_vocab_test__\n")


def control_ids(path):
    """Special tokens that stand in a Unigram vocabulary: the library finds a written "</s>" there, for us it is text."""
    path = path / "tokenizer.json" if path.is_dir() else path
    if path.suffix != ".json":
        return set()
    described = json.loads(path.read_text(encoding="utf-8"))
    model = described["model"]
    if "unk_id" not in model:
        return set()
    return {token["id"] for token in described.get("added_tokens", []) if token["special"]} - {model["unk_id"]}


class Tokenizers(Case):
    def compare(self, path, texts):
        encode, found, control = reference(path), ours(str(LATHE), path, texts), control_ids(path)
        self.assertEqual(len(found), len(texts))
        wrong = [text[:80] for text, ids in zip(texts, found)
                 if (control & set(ids) if control & set(encode(text)) else ids != encode(text))]
        self.assertEqual(wrong, [], f"{path}: {len(wrong)} of {len(texts)} texts differ")

    def test_committed_tokenizers(self):
        texts = json.loads((FIXTURES / "texts.json").read_text())
        paths = sorted(FIXTURES.glob("*.tokenizer.json"))
        self.assertGreaterEqual(len(paths), 10)
        for path in paths:
            with self.subTest(path.name):
                self.compare(path, texts)

    @unittest.skipUnless(SHARED.exists(), f"there is no {SHARED}")
    def test_published_tokenizers(self):
        texts = hard_texts()
        self.assertGreater(len(texts), 550)
        models = {"mistral-v1": "mistral/tokenizer.model.v1", "mistral-v3": "mistral/mistral_instruct_tokenizer_240323.model.v3",
                  "t5": "t5/t5_tokenizer_base.model"}
        for name, path in models.items():   # under the name that a folder of weights has
            (self.folder / name).mkdir()
            shutil.copy(SHARED / path, self.folder / name / "tokenizer.model")
        paths = [SHARED / "huggingface" / name for name in ("clip", "phi-2", "t5-small", "whisper.tiny")]
        paths += [self.folder / name / "tokenizer.model" for name in models] + [self.made_of_pairs("gpt2", "encoder.json", "vocab.bpe")]
        for path in paths:
            with self.subTest(path.name if path.is_dir() else path.parent.name):
                self.compare(path, texts)

    def made_of_pairs(self, name, vocabulary, merges):
        """GPT-2's two files as the tokenizer.json that the tokenizers library makes of them."""
        made = tokenizers.ByteLevelBPETokenizer(str(SHARED / name / vocabulary), str(SHARED / name / merges))
        path = self.folder / f"{name}.json"
        made.save(str(path))
        return path

    @unittest.skipUnless(SHARED.exists(), f"there is no {SHARED}")
    def test_a_file_without_merges_is_refused_by_both(self):
        path = SHARED / "huggingface" / "added-tokens" / "tokenizer.json"
        self.assertEqual(json.loads(path.read_text())["model"]["merges"], {})
        with self.assertRaises(Exception):
            tokenizers.Tokenizer.from_file(str(path))
        _, log = self.lathe("tokenize", "--tokenizer", path, input=b"a", code=1)
        self.assertIn("merges", log)
