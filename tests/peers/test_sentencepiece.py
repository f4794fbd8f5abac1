"""Ids of SentencePiece models, unigram, bpe and char, beside the sentencepiece library's on hard, random and very long texts: which of two
equally good paths wins, and where float sums of long texts begin anew, shows only there."""
import json
import random
import sys
import sysconfig
from pathlib import Path

import sentencepiece
import tokenizers

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from check_tokenizers import ours, texts
from program import LATHE, RECIPE, Case
from test_tokenizers import SHARED, hard_texts


class SentencePiece(Case):
    def test_ids_are_the_librarys(self):
        batch = [text.replace("\x00", "") for text in texts([])]
        library_sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:60]
        lines = [line for path in library_sources for line in path.read_bytes().decode("utf-8", "ignore").split("\n") if line.strip()]
        long_text = "\n".join(lines)[:1_500_000]
        draw = random.Random(3)   # equal paths: runs of few letters
        batch += ["".join(draw.choice("ge s") * draw.randrange(1, 9) for _ in range(40)) for _ in range(2000)]
        for kind, own in (("unigram", []), ("bpe", ["return", "<note>"]), ("char", ["return", "<note>"]), ("word", ["return", "<note>"])):
            with self.subTest(kind, own=own):
                prefix = self.folder / f"{kind}{len(own)}"
                sentencepiece.SentencePieceTrainer.train(
                    sentence_iterator=iter(lines), model_prefix=str(prefix), vocab_size=400 if kind == "char" else 4000, model_type=kind,
                    byte_fallback=True, hard_vocab_limit=kind != "char", user_defined_symbols=own,
                    normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=1.0, minloglevel=2)
                model = Path(f"{prefix}.model")
                library = sentencepiece.SentencePieceProcessor(model_file=str(model))
                inputs = batch + [long_text] if kind == "unigram" else batch
                found = ours(str(LATHE), model, inputs)
                wrong = [text[:80] for text, ids in zip(inputs, found) if ids != library.encode(text)]
                self.assertEqual(len(found), len(inputs))
                self.assertEqual(wrong, [], f"{len(wrong)} of {len(inputs)} texts differ")

    def test_words_that_end_in_their_space(self):
        """treat_whitespace_as_suffix: ids and texts, and the tokenizer.json that goes into exports."""
        batch = [text.replace("\x00", "") for text in texts([]) + (hard_texts() if SHARED.exists() else [])] + ["", " ", "  two  words "]
        sources = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[:60]
        lines = [line for path in sources for line in path.read_bytes().decode("utf-8", "ignore").split("\n") if line.strip()]
        settings = {"kept": {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}, "usual": {},
                    "bare": {"add_dummy_prefix": False}}
        for kind in ("unigram", "bpe", "char", "word"):
            for name, more in settings.items():
                with self.subTest(kind, settings=name):
                    model = self.folder / f"{kind}-{name}.model"
                    sentencepiece.SentencePieceTrainer.train(
                        sentence_iterator=iter(lines), model_prefix=str(model.with_suffix("")), vocab_size=400 if kind == "char" else 4000,
                        model_type=kind, byte_fallback=True, hard_vocab_limit=kind != "char", character_coverage=1.0, minloglevel=2,
                        treat_whitespace_as_suffix=True, **more)
                    library = sentencepiece.SentencePieceProcessor(model_file=str(model))
                    found, wanted = ours(str(LATHE), model, batch), [library.encode(text) for text in batch]
                    wrong = [text[:80] for text, ids, right in zip(batch, found, wanted) if ids != right]
                    self.assertEqual(wrong, [], f"{len(wrong)} of {len(batch)} texts differ")
                    for ids in wanted[:25]:   # what is unknown has no text of its own here
                        if library.unk_id() not in ids:
                            self.assertEqual(self.lathe("tokenize", "--tokenizer", model, "--decode", input=" ".join(map(str, ids)).encode())[0],
                                             library.decode(ids))
                    if kind != "word":
                        self.check_converted(kind, name, model, library, batch, found)

    def check_converted(self, kind, name, model, library, batch, wanted):
        """Where the library's own normalisation meets no text that tokenizers' knows otherwise."""
        text = RECIPE.replace("tokenizer: {{train: byte_bpe, vocab_size: 512}}", f"tokenizer: {{{{path: {json.dumps(str(model))}}}}}")
        folder = Path(self.json("prepare", self.recipe(f"run-{model.stem}", text))["tokenizer"])
        converted = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        converted.encode_special_tokens = True
        plain = [i for i, text in enumerate(batch) if "<" not in text and (name == "kept" or text.isascii() and text.isprintable())]
        self.assertGreater(len(plain), 50)
        theirs = [converted.encode(batch[i], add_special_tokens=False).ids for i in plain]
        own = ours(str(LATHE), folder, [batch[i] for i in plain])
        self.assertEqual([batch[i] for i, ids, mine in zip(plain, theirs, own) if ids != mine], [])
        score = lambda ids: sum(map(library.get_score, ids))   # unigram: paths of equal score, told apart by float and double sums
        other = [i for i, ids in zip(plain, theirs) if ids != wanted[i] and (kind != "unigram" or abs(score(ids) - score(wanted[i])) > 1e-4)]
        self.assertEqual([batch[i] for i in other], [])
