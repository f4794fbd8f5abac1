"""A tiny base and what the tests of tuning do with it: pairs, a recipe, the report and the weights of a run."""
import json
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import RECIPE, Case

TEMPLATE = ("{% for message in messages %}<{{ message.role }}>\n{{ message.content | trim }}{{ eos_token }}\n{% endfor %}"
            "{% if add_generation_prompt %}<assistant>\n{% endif %}")
TUNING = """\
name: tuned
directory: {directory}
task: sft
model: {{path: {base}}}
adapter: {{kind: lora, rank: 4, alpha: 8, dropout: 0.1}}
data: {{train: {data}, validation: {validation}, sequence_length: 128, cache: {cache}}}
optimizer: {{learning_rate: 2e-3}}
train: {{epochs: 2, global_batch_size: 4, precision: fp32, threads: 1, seed: 5}}
"""
WORDS = "cat mat dog log sun bus pen map hat jar fig owl bee fox ant elm oak ivy rye tea jam bun pie cod".split()


class Tuning(Case):
    @classmethod
    def setUpClass(cls):
        """One tiny base for all: a few steps, a Hugging Face folder."""
        cls.shared = Path(tempfile.mkdtemp(prefix="lathe base "))
        maker = cls("make_base")
        maker.setUp()
        try:
            text = RECIPE.replace("tie_word_embeddings: true", "tie_word_embeddings: true, max_position_embeddings: 1024")
            maker.lathe("train", maker.recipe("base", text), "--quiet", "--set", "train.max_steps=5", "--set",
                        "export=[{format: huggingface, dtype: fp32}]")
            shutil.copytree(maker.folder / "base" / "export" / "huggingface", cls.shared / "base")
            assert not (maker.folder / "base" / "report.json").exists()   # from scratch: there is nothing to compare with
        finally:
            maker.tearDown()
        cls.base = cls.shared / "base"

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared, ignore_errors=True)

    def make_base(self):
        """Names the helper case of setUpClass; never a test of its own."""

    def lathe(self, *arguments, env=None, **options):
        """One thread: threads that wait for each other cost more than models of this size."""
        return super().lathe(*arguments, env={"OMP_NUM_THREADS": "1", **(env or {})}, **options)

    def write(self, name, records):
        path = self.folder / name
        path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
        return path

    def pairs(self, count, name="pairs.jsonl"):
        return self.write(name, [{"prompt": f"the {WORDS[i]} is {i}\n", "completion": f"{i} {WORDS[i]}"} for i in range(count)])

    def tuning(self, name, data, validation="0.2", base=None, extra=""):
        values = {"directory": self.folder / name, "base": base or self.base, "data": data, "cache": self.folder / "cache"}
        path = self.folder / f"{name}.yaml"
        quoted = {key: json.dumps(str(value), ensure_ascii=False) for key, value in values.items()}
        path.write_text(TUNING.format(validation=validation, **quoted) + extra, encoding="utf-8")
        return path

    def report(self, name):
        return json.loads((self.folder / name / "report.json").read_text(encoding="utf-8"))

    def weights(self, name, step):
        folder = self.checkpoint(name, step)
        files = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
        self.assertTrue(files)
        return files

    def untied_base(self):
        """A base whose table of embeddings is not its head's: only tokens that are read get a gradient there."""
        text = RECIPE.replace("tie_word_embeddings: true", "tie_word_embeddings: false, max_position_embeddings: 1024")
        self.lathe("train", self.recipe("untied", text), "--quiet", "--set", "train.max_steps=1", "--set", "schedule.warmup_steps=0",
                   "--set", "export=[{format: huggingface, dtype: fp32}]")
        return self.folder / "untied" / "export" / "huggingface"
