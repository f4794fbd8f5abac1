"""Ids of SentencePiece models, unigram, bpe and char, beside the sentencepiece library's on hard, random and very long texts: which of two
equally good paths wins, and where float sums of long texts begin anew, shows only there."""
import random
import sys
import sysconfig
from pathlib import Path

import sentencepiece

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from check_tokenizers import ours, texts
from program import LATHE, Case


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
