"""llama.cpp as a test's other side: its Python, the hard texts, and questions to it (tests/peers/run_llama_cpp.py)."""
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests/end_to_end", "tests/peers", "scripts")]
import check_gguf
from built_from_source import python_of
from program import Case

TOKENIZERS = Path(os.environ.get("LATHE_SHARED_DATA", ROOT.parent / "shared" / "data")) / "tokenizers"


def hard_texts():
    """Our own, and llama.cpp's and the naughty strings where they are there."""
    texts = [text for text in check_gguf.HARD if text]
    for path in sorted((TOKENIZERS / "hard_texts").glob("*.inp")):
        texts += [text.removeprefix("\n").removesuffix("\n") for text in path.read_text(encoding="utf-8").split("__ggml_vocab_test__")]
    naughty = TOKENIZERS / "hard_texts" / "blns.json"
    if naughty.exists():
        texts += json.loads(naughty.read_text(encoding="utf-8"))
    return sorted({text for text in texts if text and "\0" not in text})   # its tokenize takes C strings


class LlamaCppCase(Case):
    @classmethod
    def setUpClass(cls):
        cls.python = python_of("llama_cpp")
        cls.texts = hard_texts()
        print(f"  {len(cls.texts)} hard texts", flush=True)

    def ask(self, path, **request):
        result = subprocess.run([self.python, ROOT / "tests" / "peers" / "run_llama_cpp.py", path], input=json.dumps(request),
                                capture_output=True, text=True, timeout=900)
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        return json.loads(result.stdout)

    def ids(self, tokenizer, text):
        return json.loads(self.lathe("tokenize", "--tokenizer", tokenizer, "--json", input=text.encode())[0])["ids"]

    def all_ids(self, tokenizer, *flags):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in self.texts)
        output = self.lathe("tokenize", "--tokenizer", tokenizer, "--lines", *flags, input=lines.encode())[0]
        return [json.loads(line)["ids"] for line in output.splitlines()]

    def check_ids(self, theirs, ours):
        different = [(text, a, b) for text, a, b in zip(self.texts, theirs, ours, strict=True) if a != b]
        self.assertFalse(different, f"{len(different)} of {len(self.texts)} texts, such as {different[:2]!r}")
