"""CLIP's tokenizer beside transformers': folders in both layouts are read with the same ids, what is trained here is read there."""
import collections
import json
import shutil
import subprocess
import sys
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer, CLIPTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from check_tokenizers import ours, texts
from program import LATHE, ROOT, Case

PUBLISHED = ROOT.parent / "shared" / "data" / "tokenizers"
CAPTIONS = [f"a {size} {colour} {shape} {place}" for size in ("small", "large") for colour in ("red", "Green", "blue", "yellow")
            for shape in ("circle", "square", "TRIANGLE") for place in ("on the left", "on the right", "in the dog's  middle")]
CAPTIONS += ["L'\u00e9t\u00e9 \u00e0 No\u00ebl", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \u65e5\u672c", "we've they'll \U0001f600\U0001f600", "1 22 333!!! ..."] * 3


def merges_by_definition(tokenizer, captions, size):
    """Byte pair encoding as Sennrich et al. write it: count all pairs again for every merge; the commonest first, then the one of
    the smaller ids. Words are split by the tokenizers library."""
    words = collections.Counter(word for text in captions for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(
        tokenizer.normalizer.normalize_str(text)))
    alphabet = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)[:512]
    ids = {token: index for index, token in enumerate(alphabet)}
    spelt = {word: list(word[:-1]) + [word[-1] + "</w>"] for word in words}
    merges = []
    while len(ids) < size - 2:
        pairs = collections.Counter()
        for word, count in words.items():
            for pair in zip(spelt[word], spelt[word][1:]):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        if pairs[best] < 2:
            break
        merges.append(best)
        ids.setdefault(best[0] + best[1], len(ids))
        for parts in spelt.values():
            index = 0
            while index + 1 < len(parts):
                if (parts[index], parts[index + 1]) == best:
                    parts[index : index + 2] = ["".join(best)]
                index += 1
    return merges


class ClipTokenizer(Case):
    def compare(self, folder, reference, batch):
        found = ours(str(LATHE), folder, batch)
        self.assertEqual(len(found), len(batch))
        wrong = [(text, ids) for text, ids in zip(batch, found)
                 if "<|" not in text   # control tokens in user text are text here
                 and ids != reference(text, add_special_tokens=False)["input_ids"]]
        self.assertEqual(wrong, [], f"{len(wrong)} of {len(batch)} texts differ")

    def test_what_is_trained_here(self):
        (self.folder / "texts.json").write_text(json.dumps(CAPTIONS))
        folder = self.folder / "trained"
        folder.mkdir()
        subprocess.run([LATHE.parent / "tests" / "train_clip", self.folder / "texts.json", "600", folder], check=True)
        self.assertEqual({path.name for path in folder.iterdir()},
                         {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json"})
        plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
        merges = [tuple(line.split(" ")) for line in (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]]
        self.assertEqual(merges, merges_by_definition(plain, CAPTIONS, 600))
        self.assertEqual(plain.get_vocab_size(), 600)
        old = self.folder / "old"   # the layout of Stable Diffusion's folders
        old.mkdir()
        for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"):
            shutil.copy(folder / name, old)
        batch = texts([])
        for path in (folder, old):
            for kind in (AutoTokenizer, CLIPTokenizer):
                with self.subTest(path=path.name, kind=kind.__name__):
                    reference = kind.from_pretrained(path)
                    self.assertEqual((reference.bos_token_id, reference.eos_token_id, reference.pad_token_id), (598, 599, 599))
                    self.assertEqual(reference.model_max_length, 77)
                    self.assertEqual(reference("a red", padding="max_length")["input_ids"][0], 598)
                    self.compare(path, reference, batch)
        reference.save_pretrained(self.folder / "again")
        self.compare(self.folder / "again", reference, batch)

    def test_published_vocabularies(self):
        if not PUBLISHED.exists():
            self.skipTest("no shared data")
        old = self.folder / "old"
        old.mkdir()
        shutil.copy(PUBLISHED / "clip" / "clip_encoder.json", old / "vocab.json")
        shutil.copy(PUBLISHED / "clip" / "clip_vocab.bpe", old / "merges.txt")
        shutil.copy(PUBLISHED / "huggingface" / "clip" / "tokenizer_config.json", old)
        batch = texts([])
        for folder in (old, PUBLISHED / "huggingface" / "clip"):
            with self.subTest(folder.name):
                reference = CLIPTokenizer.from_pretrained(folder)
                self.assertEqual(len(reference), 49408)
                self.compare(folder, reference, batch)


if __name__ == "__main__":
    import unittest
    unittest.main()
