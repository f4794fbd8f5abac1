#!/usr/bin/env python3
"""Writes tests/unit/data/tokenizers/fixtures: one small tokenizer.json a style, and the ids the tokenizers library gives.

    pip install tokenizers==0.23.3
    python scripts/make_tokenizer_goldens.py [STYLE ...]

The library's trainers break ties by chance in two styles (clip, unigram); what is committed is one outcome.
"""
import json
import pathlib
import sys

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PINNED = "0.23.3"
FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests/unit/data/tokenizers/fixtures"
GPT2_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
          r"|\s+(?!\S)|\s+")
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
CORPUS = [
    "The quick brown fox jumps over the lazy dog. The dog didn't mind; it's what they're used to.",
    "def encode(self, text):\n    for token in self.tokens:\n        if token == text:\n            return token\n",
    "Le c\u0153ur a ses raisons que la raison ne conna\u00eet point. L\u2019\u00e9t\u00e9, \u00e0 No\u00ebl, o\u00f9 \u00eates-vous ?",
    "In 1984 and 2024 there were 365 or 366 days; 3.14159 is not 22/7.",
    "hello hello hello world world, this is a test, a test of testing tested tests",
    "the theory of there and then; other mothers gather together",
] * 3
TEXTS = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n \n", "Hello world", " Hello world", "Hello, world!  ",
    "the theory of the test", "it's IT'S we'Ve they'LL I'D '\u017f 'K", "don''t 'tis ''s",
    "def f(x):\n    return x + 1\n\n\n        # done\t\n", "a\u00a0b\u3000c\u2003d\u180ee\u0085f\u2028g",
    "1 22 333 4444 55555 \u0663\u0664 \u00bd \u2167 \u00b2", "\u0153uvre \u00e0 l\u2019\u00e9t\u00e9 \u00b0C \u2014 o\u00f9\u2026",
    "e\u0301 vs \u00e9, \ufb01 vs fi, \uff21\uff22, \u1e9b\u0323", "\u0130stanbul STRASSE \u00df \u03a3\u0391\u03a3",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \ud55c\uad6d\uc5b4 \u0905\u0928\u0941\u091a\u094d\u091b\u0947\u0926",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1eb\U0001f1f7", "nul \x00 and \x7f and \x1b",
    "\u2581 is not a space\u2581\u2581", "<s> and </s> and <unk> <|endoftext|> <|startoftext|>",
    "x<mask>y <mask>  z", "keepme keep me keepmekeep (keepme) _keepme", "  NEW  new News", "<0x0A> <0xE2>",
    "\u0120the \u010a", "-----========-----", "!!!???...", "a" * 100, " " * 70 + "x", "ab" * 60, "\n" * 30, "\ufeffbom",
    "tests tests  tests   tests    tests", "\u200b\u200d\ufffd", "\U00010348\U0010fffd", "x\n\ty\r\n\r\nz \t\n",
    "The END.</s>", "(((a)))[b]{c}", "C'est l'\u00e9t\u00e9; d'o\u00f9?", "snake_case camelCase HTTPServer2",
]


def byte_level(**options):
    return trainers.BpeTrainer(vocab_size=340, special_tokens=["<|endoftext|>"], show_progress=False,
                               initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **options)


def train(model, trainer, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None):
    tokenizer = Tokenizer(model)
    if normalizer:
        tokenizer.normalizer = normalizer
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(CORPUS, trainer)
    if post_processor:
        tokenizer.post_processor = post_processor
    if decoder:
        tokenizer.decoder = decoder
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), GPT2_BYTES])


def gpt2():
    return train(models.BPE(), byte_level(), pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False),
                 decoder=decoders.ByteLevel())


def llama3():
    tokenizer = train(models.BPE(ignore_merges=True), byte_level(), pre_tokenizer=split(LLAMA3), decoder=decoders.ByteLevel())
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)])])
    return tokenizer


def qwen2():
    return train(models.BPE(), byte_level(), normalizers.NFC(), split(QWEN2), decoder=decoders.ByteLevel())


def cl100k():
    return train(models.BPE(), byte_level(), pre_tokenizer=split(CL100K), decoder=decoders.ByteLevel())


def digits():
    pre = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                   pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return train(models.BPE(), byte_level(), pre_tokenizer=pre, decoder=decoders.ByteLevel())


def roberta():
    tokenizer = train(models.BPE(), byte_level(), pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True),
                      decoder=decoders.ByteLevel())
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True), AddedToken("</s>")])
    tokenizer.add_tokens([AddedToken("keepme", single_word=True), AddedToken("NEW", rstrip=True, normalized=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", tokenizer.token_to_id("</s>")), ("<|endoftext|>", 0))
    return tokenizer


def clip():
    normal = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    pre = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CLIP), "removed", invert=True), GPT2_BYTES])
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<|endoftext|>"], end_of_word_suffix="</w>",
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    return train(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"), trainer, normal, pre)


def with_bytes(trainer_type, **options):
    tokens = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % byte for byte in range(256)]
    return trainer_type(vocab_size=400, special_tokens=tokens, show_progress=False, **options)


def only_three_special(tokenizer):
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    return Tokenizer.from_str(json.dumps(state))


def llama2():
    normal = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer = train(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), with_bytes(trainers.BpeTrainer),
                      normal, pre_tokenizers.Split("\u2581", "merged_with_next"))
    tokenizer.pre_tokenizer = None
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                           decoders.Strip(" ", 1, 0)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return only_three_special(tokenizer)


def spaces_back(*more):
    return decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), *more])


def llama2_metaspace():
    """The form transformers writes since its Llama tokenizer stopped prepending in the middle of a text."""
    tokenizer = train(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), with_bytes(trainers.BpeTrainer),
                      normalizers.Replace(" ", "\u2581"), pre_tokenizers.Split("\u2581", "merged_with_next"))
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = spaces_back(decoders.Strip(" ", 1, 0))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return only_three_special(tokenizer)


def gemma():
    """A pattern that matches nothing after the normalizer, and runs of white space that are tokens by themselves."""
    tokenizer = train(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), with_bytes(trainers.BpeTrainer),
                      normalizers.Replace(" ", "\u2581"), pre_tokenizers.Split("\u2581", "merged_with_next"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = spaces_back()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = only_three_special(tokenizer)
    tokenizer.add_tokens([AddedToken(run * count, normalized=False) for run in ("\n", "\t", "\u2581") for count in (2, 3, 4, 8)])
    return tokenizer


def metaspace():
    return train(models.BPE(unk_token="<unk>", fuse_unk=False),
                 trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False), normalizers.NFKD(),
                 pre_tokenizers.Metaspace(prepend_scheme="first"), decoder=decoders.Metaspace(prepend_scheme="first"))


def unigram():
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>",
                                      show_progress=False)
    pre = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer = train(models.Unigram(), trainer, normalizers.NFKC(), pre, decoder=decoders.Metaspace())
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def case(tokenizer, text):
    tokenizer.encode_special_tokens = True
    plain = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = False
    parsed = tokenizer.encode(text, add_special_tokens=False).ids
    return {"plain": plain, "parsed": parsed, "special": tokenizer.encode(text, add_special_tokens=True).ids,
            "decoded": tokenizer.decode(parsed, skip_special_tokens=False)}


def main():
    if tokenizers.__version__ != PINNED:
        raise SystemExit(f"wanted tokenizers {PINNED}, found {tokenizers.__version__}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "texts.json").write_text(json.dumps(TEXTS, indent=0) + "\n")
    for make in (gpt2, llama3, qwen2, cl100k, digits, roberta, clip, llama2, llama2_metaspace, gemma, metaspace, unigram):
        if sys.argv[1:] and make.__name__ not in sys.argv[1:]:
            continue
        tokenizer = make()
        (FOLDER / f"{make.__name__}.tokenizer.json").write_text(tokenizer.to_str())
        cases = [case(tokenizer, text) for text in TEXTS]
        (FOLDER / f"{make.__name__}.expected.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
