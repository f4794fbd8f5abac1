"""What somebody with a handful of pictures and a Stable Diffusion does: an adapter, without held-out pictures. What the run
shows, keeps to itself, notices and refuses."""
import json
import re
import shlex
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import Case
from stable_diffusion_folder import write_stable_diffusion
from test_picture_folders import write_png

RECIPE = """\
name: dozen
directory: {directory}
task: diffusion
model: {{path: sd}}
adapter: {{kind: lora, rank: 2, alpha: 2}}
data: {{train: [{{path: set}}], resolution: [32], cache: {cache}}}
diffusion: {{sampling: {{steps: 2, count: 2, guidance: 2}}}}
train: {{max_steps: 3, global_batch_size: 2, precision: fp32, threads: 1, seed: 5}}
export: [{{format: peft}}]
"""
CAPTION = "a \"red\" dog's $HOME `touch pwned`"


class Dozen(Case):
    def setUp(self):
        super().setUp()
        write_stable_diffusion(self.folder / "sd")
        (self.folder / "set").mkdir()
        for i in range(5):
            write_png(self.folder / "set" / f"{i}.png", 32 + 32 * (1 - i % 2), 32, lambda x, y: ((x * 6 + i * 40) % 256, (y * 5) % 256, i * 50))
            (self.folder / "set" / f"{i}.txt").write_text(CAPTION if i == 0 else f"picture number {i}")

    def run_of(self, name, *sets, code=0):
        arguments = [item for value in sets for item in ("--set", value)]
        return self.lathe("train", self.recipe(name, RECIPE), *arguments, code=code)

    def test_a_caption_is_a_word_of_the_command_lines_and_nothing_else(self):
        said, _ = self.run_of("a run")
        line = said.strip().splitlines()[-1]
        self.assertEqual(shlex.split(line)[:5], ["next:", "lathe", "sample", str(self.folder / "a run"), "--prompt"])
        self.assertEqual(shlex.split(line)[5], CAPTION)
        card = (self.folder / "a run" / "export" / "peft" / "README.md").read_text()
        own = next(text for text in card.splitlines() if text.startswith("lathe sample"))
        self.assertEqual(shlex.split(own)[4:9], [CAPTION, "--steps", "2", "--guidance", "2"])
        self.assertIn("num_inference_steps=2, guidance_scale=2", card)

    def test_texts_stay_out_of_exports_when_the_recipe_says_so(self):
        sets = ("report.examples=none", "adapter={}", "adapter.kind=lora", "adapter.rank=2", "export=[{format: peft}, {format: diffusers}]")
        said, log = self.run_of("run", *sets)
        self.assertNotIn("picture number", said)
        exported = [path for path in (self.folder / "run" / "export").rglob("*") if path.suffix in (".md", ".json")]
        self.assertGreater(len(exported), 4)
        for path in exported:
            self.assertNotRegex(path.read_text(), "picture number|pwned", path)

    def test_samples_are_drawn_where_nothing_is_held_out(self):
        (self.folder / "asked.txt").write_bytes(b"\xef\xbb\xbfa dog\r\n  \r\na cat\r\n")
        (self.folder / "plain.txt").write_text("a dog\na cat\n")
        self.run_of("run", "evaluate.every=1", "evaluate.prompts=asked.txt")
        samples = sorted(path.name for path in (self.folder / "run" / "samples").glob("step-*.png"))
        self.assertEqual(samples, [f"step-{step:08d}.png" for step in (1, 2, 3)])
        report = (self.folder / "run" / "report.html").read_text()
        self.assertEqual(len(re.findall(r"<summary>step \d</summary>", report)), 3)
        self.assertNotIn("[{}]", report)
        for name in ("asked", "plain"):   # a byte order mark, returns and blank lines are no prompts
            self.lathe("sample", "sd", "--prompts", f"{name}.txt", "--steps", 1, "--output", self.folder / f"of_{name}", "--quiet")
        for file in ("metadata.jsonl", "00000.png", "00001.png"):
            self.assertEqual(*((self.folder / f"of_{name}" / file).read_bytes() for name in ("asked", "plain")))
        self.assertFalse((self.folder / "of_asked" / "00002.png").exists())

    def test_copies_are_looked_for_in_buckets_too(self):
        self.run_of("run", "data.bucket_step=8", "data.flip=true")
        report = json.loads((self.folder / "run" / "report.json").read_text())
        self.assertEqual((report["copies"]["pictures"], report["looked_at"]), (64, 6))   # three pictures of the wider size, mirrored too
        self.assertIn("of 64 samples", report["verdict"])

    def test_an_adapter_fits_the_base_it_was_trained_on_alone(self):
        self.run_of("run")
        weights = self.folder / "sd" / "unet" / "diffusion_pytorch_model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-4096:] = data[-8192:-4096]
        weights.write_bytes(data)
        for command in (("sample", "run", "--prompt", "x", "--output", self.folder / "out"),
                        ("export", "run", "--format", "diffusers", "--output", self.folder / "out")):
            self.assertIn("has changed since the run", self.lathe(*command, code=1)[1])
        self.assertIn("base_sha256", self.run_of("run", "train.max_steps=5", code=2)[1])

    def test_nothing_learned_is_no_success(self):
        weights = self.folder / "sd" / "unet" / "diffusion_pytorch_model.safetensors"
        data = bytearray(weights.read_bytes())
        begin = 8 + int.from_bytes(data[:8], "little")
        data[begin:] = struct.pack("<f", float("nan")) * ((len(data) - begin) // 4)
        weights.write_bytes(data)
        self.assertIn("nothing was learned", self.run_of("run", code=1)[1])

    def test_what_cannot_be_written_or_read_to_its_end_is_told_before_any_work(self):
        (self.folder / "mine").mkdir()
        (self.folder / "mine" / "notes.txt").write_text("mine")
        log = self.run_of("run", f"export=[{{format: kohya, directory: {json.dumps(str(self.folder / 'mine'))}}}]", code=1)[1]
        self.assertIn("is not an export of this program", log)
        self.assertNotIn("step 1", log)
        (self.folder / "set" / "1.txt").write_text("word " * 50)
        for command in ("prepare", "preview"):
            self.assertRegex(self.lathe(command, self.recipe("run", RECIPE))[0], r"\d of 5 captions are longer than the 12 tokens")
        self.assertIn("longer than the 12 tokens", self.lathe("sample", "sd", "--prompt", "word " * 50, "--steps", 1, "--output",
                                                              self.folder / "out")[1])

    def test_keys_without_effect_on_pictures_are_noted(self):
        sets = ("prior.per_picture=2", "evaluate.metrics=[rouge_l]", "data.loss_on=all")
        said = "\n".join(self.lathe("check", self.recipe("run", RECIPE), *(item for value in sets for item in ("--set", value))))
        for key in ("prior.per_picture", "evaluate.metrics", "data.loss_on"):
            self.assertRegex(said, rf"{re.escape(key)}'? has no effect|{re.escape(key)}.*has no effect")
