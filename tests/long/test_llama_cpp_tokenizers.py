"""Published vocabularies in llama.cpp: each pre-tokenizer that a file can name, BOS and control tokens added by the engine, and the
file's own chat template, all with our ids. The vocabularies come from the shared data; without it the cases are skipped."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from llama_cpp_case import TOKENIZERS, LlamaCppCase
import torch
from make_golden import randomise
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

TEMPLATES = TOKENIZERS.parent / "chat_templates"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
INSTRUCT = ("{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] {{ message.content }} [/INST]"
            "{% else %} {{ message.content }}{{ eos_token }}{% endif %}{% endfor %}")
CHATS = [[("user", "The cat sat on\nthe mat?"), ("assistant", "été œuvre, 123456 7,8.9")],
         [("user", "def f(x):\n    return x"), ("assistant", "日本語 \U0001f600"), ("user", "don't we'LL"), ("assistant", "I'm <b>here</b>")]]


def ranks(path):
    """tiktoken's file: a token in base 64 and its rank a line."""
    import base64
    pairs = (line.split() for line in path.read_bytes().splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def merges_of(table):
    """The merges that make each token of such a table: what is left of it in two when only merges of lower rank are done."""
    letters = byte_letters()
    merges = []
    for token, rank in sorted(table.items(), key=lambda entry: entry[1]):
        parts = [bytes([b]) for b in token]
        while len(parts) > 2:
            joined = [table.get(a + b, rank) for a, b in zip(parts, parts[1:])]
            best = min(range(len(joined)), key=joined.__getitem__)
            if joined[best] >= rank:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        if len(parts) == 2:
            merges.append(tuple("".join(letters[b] for b in part) for part in parts))
    return {"".join(letters[b] for b in token): rank for token, rank in table.items()}, merges


def byte_letters():
    """GPT-2's letter for each byte."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own}, **{b: chr(256 + n) for n, b in enumerate(others)}}


def byte_level(model, before, specials, bos=None):
    tokenizer = Tokenizer(model)
    own = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not isinstance(before, pre_tokenizers.Split))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([before, own]) if before else own
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in specials])
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))])
    return tokenizer


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


class Tokenizers(LlamaCppCase):
    def setUp(self):
        super().setUp()
        if not (TOKENIZERS / "cl100k").exists():
            self.skipTest(f"no published vocabularies in {TOKENIZERS}")

    def folder_of(self, name, size, **special):
        """A model of one layer; its tokenizer's files come after."""
        folder = self.folder / name
        config = LlamaConfig(vocab_size=size, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
                             num_key_value_heads=1, max_position_embeddings=512, tie_word_embeddings=True, pad_token_id=None, **special)
        model = AutoModelForCausalLM.from_config(config).float()
        randomise(model, torch.Generator().manual_seed(5))
        model.save_pretrained(folder)
        return folder

    def save(self, name, tokenizer, template=None, **special):
        ids = {f"{key}_id": tokenizer.token_to_id(text) for key, text in special.items()}
        folder = self.folder_of(name, tokenizer.get_vocab_size(), **{"bos_token_id": None, **ids})
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template, **special).save_pretrained(folder)
        return folder

    def export(self, folder):
        self.lathe("export", folder, "--format", "gguf", "--quantize", "f32", "--output", folder / "gguf")
        return next((folder / "gguf").glob("*.gguf"))

    def compare(self, folder, specials, pre):
        """Ids of all texts as they are; then with control tokens inside and what the tables add."""
        path = self.export(folder)
        plain = self.texts
        self.check_ids(self.ask(path, texts=plain, prompt_ids=[5], greedy=1)["ids"], self.all_ids(folder))
        self.texts = [*plain[:200], *(f"{a}{text} and{b}x" for a, b in zip(specials, specials[::-1]) for text in plain[::25])]
        try:
            found = self.ask(path, texts=self.texts, prompt_ids=[5], greedy=1, special=True)["ids"]
            self.check_ids(found, self.all_ids(folder, "--special", "--add-special"))
        finally:
            count, self.texts = len(self.texts), plain
        print(f"  {folder.name} ({pre}): ids of {len(plain)} texts equal, of {count} with control tokens and BOS", flush=True)
        return path

    def compare_chats(self, folder, path):
        """The file's template, rendered and cut by llama.cpp's package, and what lathe learns from the same turns."""
        chats = [[{"role": role, "content": content} for role, content in chat] for chat in CHATS]
        data = self.folder / f"{folder.name}.jsonl"
        data.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats), encoding="utf-8")
        recipe = self.folder / f"{folder.name}.yaml"
        recipe.write_text(f"directory: {json.dumps(str(self.folder / 'run'))}\ntask: sft\nmodel: {{path: {json.dumps(str(folder), ensure_ascii=False)}}}\n"
                          f"data: {{train: {json.dumps(str(data), ensure_ascii=False)}, sequence_length: 256, loss_on: assistant, "
                          f"cache: {json.dumps(str(self.folder / 'cache'), ensure_ascii=False)}}}\n", encoding="utf-8")
        shown = self.json("preview", recipe, "--count", "2")["examples"]
        theirs = self.ask(path, chat=chats)
        for example, text, ids in zip(shown, theirs["texts"], theirs["ids"], strict=True):
            self.assertEqual(example["text"].replace("[[", "").replace("]]", ""), text)
            self.assertEqual(example["ids"], ids)
        print(f"  {folder.name}: {len(chats)} conversations by the file's own template: text and ids equal", flush=True)

    def gpt2(self):
        return models.BPE.from_file(str(TOKENIZERS / "gpt2" / "encoder.json"), str(TOKENIZERS / "gpt2" / "vocab.bpe"))

    def test_gpt2(self):
        folder = self.save("gpt2", byte_level(self.gpt2(), None, ["<|endoftext|>"]), eos_token="<|endoftext|>")
        self.compare(folder, ["<|endoftext|>"], "gpt-2")

    def test_smollms_digits(self):
        tokenizer = byte_level(self.gpt2(), pre_tokenizers.Digits(individual_digits=True), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
        template = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
        folder = self.save("smollm", tokenizer, template, bos_token="<|im_start|>", eos_token="<|im_end|>")
        self.compare_chats(folder, self.compare(folder, ["<|im_start|>", "<|im_end|>"], "smollm"))

    def test_phi2_with_its_added_tokens(self):
        tokenizer = Tokenizer.from_file(str(TOKENIZERS / "huggingface" / "phi-2" / "tokenizer.json"))
        folder = self.save("phi-2", tokenizer, eos_token="<|endoftext|>")
        self.compare(folder, ["<|endoftext|>"], "gpt-2")

    def test_llama3(self):
        specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
        vocabulary, merges = merges_of(ranks(TOKENIZERS / "cl100k" / "cl100k_base.tiktoken"))
        model = models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True)
        tokenizer = byte_level(model, split(LLAMA3), specials, "<|begin_of_text|>")
        template = (TEMPLATES / "meta-llama-Llama-3.1-8B-Instruct.jinja").read_text(encoding="utf-8")
        folder = self.save("llama3", tokenizer, template, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>")
        self.compare_chats(folder, self.compare(folder, specials[2:], "llama-bpe"))

    def test_qwen2(self):
        specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
        vocabulary, merges = merges_of(ranks(TOKENIZERS / "cl100k" / "cl100k_base.tiktoken"))
        tokenizer = byte_level(models.BPE(vocab=vocabulary, merges=merges), split(QWEN2), specials)
        template = (TEMPLATES / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text(encoding="utf-8")
        folder = self.save("qwen2", tokenizer, template, eos_token="<|im_end|>")
        self.compare_chats(folder, self.compare(folder, specials, "qwen2"))

    def test_mistrals_sentencepiece(self):
        from sentencepiece import SentencePieceProcessor
        for name, file in (("mistral-v1", "tokenizer.model.v1"), ("mistral-v3", "mistral_instruct_tokenizer_240323.model.v3")):
            with self.subTest(name=name):
                data = (TOKENIZERS / "mistral" / file).read_bytes()
                folder = self.folder_of(name, SentencePieceProcessor(model_proto=data).get_piece_size(), bos_token_id=1, eos_token_id=2)
                (folder / "tokenizer.model").write_bytes(data)
                (folder / "tokenizer_config.json").write_text('{"bos_token": "<s>", "eos_token": "</s>"}', encoding="utf-8")
                (folder / "chat_template.jinja").write_text(INSTRUCT, encoding="utf-8")
                self.compare_chats(folder, self.compare(folder, ["<s>", "</s>"], "SentencePiece"))
