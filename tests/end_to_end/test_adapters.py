"""Adapters on a frozen base: killed and resumed to the bit, exported, verified, refused."""
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import LATHE, Case, tensors

RECIPE = """\
name: tuned
directory: {directory}
task: sft
model: {{path: {base}{model}}}
adapter: {{kind: {kind}, rank: 4, alpha: 8, dropout: 0.2}}
data: {{train: {data}, sequence_length: 64, cache: {cache}}}
optimizer: {{learning_rate: 1e-2}}
train: {{max_steps: {steps}, global_batch_size: 4, precision: {precision}, threads: 1, seed: 5}}
checkpoint: {{every: 5, keep_last: 10}}
"""


NF4 = ", quantization: {kind: nf4}"


class Adapters(Case):
    def setUp(self):
        super().setUp()
        self.train("base", "train.max_steps=5", "export=[{format: huggingface, dtype: fp32}]")
        self.base = self.folder / "base" / "export" / "huggingface"
        self.data = self.folder / "pairs.jsonl"
        pairs = [{"prompt": f"the cat {i}\n", "completion": f"{i} sat on the mat{' slowly' * (i % 3)}"} for i in range(22)]
        self.data.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))

    def tuned(self, name, kind="lora", precision="fp32", steps=10, extra="", model=""):
        values = {"directory": self.folder / name, "base": self.base, "data": self.data, "cache": self.folder / "cache"}
        quoted = {key: json.dumps(str(value), ensure_ascii=False) for key, value in values.items()}
        path = self.folder / f"{name}.yaml"
        path.write_text(RECIPE.format(kind=kind, precision=precision, steps=steps, model=model, **quoted) + extra, encoding="utf-8")
        return path

    def test_ten_steps_are_five_and_a_kill_and_five(self):
        # 22 examples by 4: step 5 is within an epoch.
        for kind, precision, model in (("lora", "fp32", ""), ("dora", "bf16", ""), ("lora", "bf16", NF4), ("dora", "fp32", NF4)):
            with self.subTest(kind=kind, precision=precision, model=model):
                straight, killed = (f"{part} {kind} {precision}{len(model)}" for part in ("straight", "killed"))
                recipe = lambda name: self.tuned(name, kind, precision, model=model)
                self.lathe("train", recipe(straight), "--quiet")
                self.kill_after_checkpoint(recipe(killed), killed)
                log = self.lathe("train", recipe(killed))[1]
                self.assertIn("resumed from step 5 (bit-exact)", log)
                for name in ("adapter_model.safetensors", "adapter_config.json", "optimizer.safetensors"):
                    self.assertEqual((self.checkpoint(straight, 10) / name).read_bytes(),
                                     (self.checkpoint(killed, 10) / name).read_bytes(), name)
                self.assertEqual([record["loss"] for record in self.metrics(straight)],
                                 [record["loss"] for record in self.metrics(killed)])

    def kill_after_checkpoint(self, recipe, name):
        """SIGKILL once the checkpoint of step 5 is whole. The run ends at 9, so that it never finishes."""
        process = subprocess.Popen([str(LATHE), "train", str(recipe), "--quiet", "--stop-after", "9"], cwd=self.folder,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.time() + 60
        while not (self.checkpoint(name, 5) / "MANIFEST.json").exists():
            self.assertLess(time.time(), deadline)
            if process.poll() is not None:
                break
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in (self.folder / name / "checkpoints").glob("step-*9"):   # it was too quick: as if killed before this one
            shutil.rmtree(path)

    def test_the_checkpoint_holds_the_adapter_alone_under_pefts_names(self):
        self.lathe("train", self.tuned("run", steps=5), "--quiet")
        names = set(tensors(self.checkpoint("run", 5) / "adapter_model.safetensors"))
        modules = [f"self_attn.{p}_proj" for p in "qkvo"] + [f"mlp.{p}_proj" for p in ("gate", "up", "down")]
        self.assertEqual(names, {f"base_model.model.model.layers.{layer}.{module}.lora_{part}.weight" for layer in range(2)
                                 for module in modules for part in "AB"})
        self.assertFalse((self.checkpoint("run", 5) / "model.safetensors").exists())

    def test_an_adapter_is_exported_and_verified_on_its_base(self):
        self.lathe("train", self.tuned("run", extra="export: [{format: peft}, {format: huggingface, dtype: fp32}]\n"), "--quiet")
        folder = self.folder / "run" / "export" / "peft"
        self.assertEqual(sorted(path.name for path in folder.iterdir()),
                         ["MANIFEST.json", "README.md", "adapter_config.json", "adapter_model.safetensors", "reference.json",
                          "tokenizer.json", "tokenizer_config.json", "verification.json"])
        config = json.loads((folder / "adapter_config.json").read_text())
        self.assertEqual(config["base_model_name_or_path"], str(self.base))
        self.assertEqual(config["target_modules"], ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"])
        card = (folder / "README.md").read_text(encoding="utf-8")
        for text in ("PeftModel.from_pretrained", "--enable-lora", "convert_lora_to_gguf.py", str(self.base)):
            self.assertIn(text, card)
        self.lathe("verify", folder)
        self.lathe("export", folder, "--format", "peft", "--output", "again")
        self.assertEqual((self.folder / "again" / "adapter_model.safetensors").read_bytes(),
                         (folder / "adapter_model.safetensors").read_bytes())
        self.assertNotIn(str(self.folder), (folder.parent / "huggingface" / "README.md").read_text(encoding="utf-8"))
        # Adapter and merged model say the same.
        merged = self.folder / "run" / "export" / "huggingface"
        answers = [json.loads(self.lathe("generate", model, "--prompt", "the cat 3\n", "--max-tokens", "12", "--raw", "--json",
                                         "--quiet")[0])["completions"] for model in (folder, merged, self.folder / "run")]
        self.assertEqual(answers[0], answers[1])
        self.assertEqual(answers[0], answers[2])
        data = bytearray((folder / "adapter_model.safetensors").read_bytes())
        data[-3] ^= 0x60
        (folder / "adapter_model.safetensors").write_bytes(data)
        self.assertIn("adapter_model.safetensors: its content does not have the SHA-256", self.lathe("verify", folder, code=1)[0])
        self.assertTrue(self.json("verify", merged)["manifest"])
        (merged / "MANIFEST.json").unlink()
        self.assertIn("no MANIFEST.json is here", self.lathe("verify", merged)[0])

    def test_a_base_in_four_bits(self):
        losses = {}
        for name, model in (("plain", ""), ("double", NF4), ("single", NF4[:-1] + ", double: false}"), ("alias", ", load_in_4bit: true")):
            log = self.lathe("train", self.tuned(name, steps=10, model=model, extra="export: [{format: peft}, {format: huggingface}]\n"))[1]
            losses[name] = [record["loss"] for record in self.metrics(name)]
            self.assertEqual("'load_in_4bit: true' is read as 'model.quantization.kind: nf4'" in log, name == "alias")
        self.assertEqual(losses["double"], losses["alias"])
        for name in ("double", "single"):   # the first loss is the base's, which 4 bits change a little
            self.assertGreater(abs(losses[name][0] - losses["plain"][0]), 1e-6)
            self.assertLess(abs(losses[name][0] - losses["plain"][0]), 0.05)
            self.assertLess(losses[name][-1], losses[name][0])
        self.assertNotEqual(losses["double"][0], losses["single"][0])
        for format in ("peft", "huggingface"):
            folder = self.folder / "double" / "export" / format
            self.lathe("verify", folder)
            self.assertIn("in 4 bits (NF4)", (folder / "README.md").read_text(encoding="utf-8"))
            written = json.loads((folder / "verification.json").read_text())
            self.assertGreater(written["quantization_error"], 1e-4)
            self.assertLess(written["quantization_error"], 1)
            self.assertNotIn("quantization_error", json.loads((self.folder / "plain" / "export" / format / "verification.json").read_text()))
        log = self.lathe("train", self.tuned("again", model=NF4), "--set", "adapter.kind=''", code=2)[1]
        self.assertIn("'model.quantization' wants 'adapter'", log)

    def test_a_merge_that_rounding_undoes_is_refused(self):
        self.lathe("train", self.tuned("run", steps=1), "--quiet", "--set", "optimizer.learning_rate=1e-12")
        log = self.lathe("export", self.folder / "run", "--format", "huggingface", "--merge", "--output", "merged", code=1)[1]
        self.assertIn("equal the base's once rounded to BF16", log)
        self.assertFalse((self.folder / "merged").exists())

    def test_a_model_without_adapter_has_none_to_export(self):
        log = self.lathe("export", self.base, "--format", "peft", "--merge", "--output", "x", code=2)[1]
        self.assertIn("--merge: --format peft is what was trained alone", log)
        log = self.lathe("export", self.base, "--format", "peft", "--output", "x", code=2)[1]
        self.assertIn("has none; use --format huggingface", log)
        log = self.lathe("train", self.recipe("plain"), "--set", "export=[{format: peft}]", code=2)[1]
        self.assertIn("this recipe trains none (adapter.kind)", log)
