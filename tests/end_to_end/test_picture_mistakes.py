"""Mistakes with pictures are told by `check`, or by the command that is asked, with exit code 2 and what to do."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from picture_model import write_pipeline
from program import Case
from stable_diffusion_folder import write_stable_diffusion
from test_picture_folders import write_png

RECIPE = """\
name: taught
directory: {directory}
task: diffusion
model: {{path: sd}}
adapter: {{kind: lora, rank: 2, alpha: 4}}
data: {{train: [{{path: mine, caption: a photo of sks}}], resolution: [32], cache: {cache}}}
train: {{max_steps: 2, global_batch_size: 4, precision: fp32, threads: 1, seed: 5}}
"""


class PictureMistakes(Case):
    def setUp(self):
        super().setUp()
        write_stable_diffusion(self.folder / "sd")
        self.mine = self.folder / "mine"
        self.mine.mkdir()
        for i in range(4):
            self.picture(f"{i}.png", i)

    def picture(self, name, i=0, width=40, height=40):
        write_png(self.mine / name, width, height, lambda x, y: ((x * 6 + 50 * i) % 256, y * 6, 90))

    def check(self, *sets, code=2, recipe=RECIPE):
        arguments = [item for value in sets for item in ("--set", value)]
        return "".join(self.lathe("check", self.recipe("run", recipe), *arguments, code=code))

    def metadata(self, *records):
        (self.mine / "metadata.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))

    def test_targets_that_adapt_nothing_of_the_text_encoder(self):
        said = self.check("adapter.text_encoder=true", "adapter.targets=[to_q, to_v]")
        self.assertIn("'adapter.text_encoder'", said)
        self.assertIn("fc1, fc2, k_proj, out_proj, q_proj, v_proj", said)
        self.check("adapter.text_encoder=true", "adapter.targets=[to_q, q_proj]", code=0)
        self.check("adapter.text_encoder=true", code=0)

    def test_dora_of_convolutions(self):
        said = self.check("adapter.kind=dora", "adapter.targets=[to_q, conv1]")
        self.assertIn("'adapter.kind' dora is for linear layers", said)
        self.assertIn("--set #1: ", said)

    def test_what_train_would_find_of_the_pictures(self):
        self.assertIn("# data.train: 4 pictures", self.check(code=0))
        (self.folder / "empty").mkdir()
        self.assertIn("found no files", self.check("data.train=[{path: empty}]"))
        self.assertIn("wanted a folder of pictures", self.check("data.train=[{path: mine/0.png}]"))
        word = RECIPE.replace("adapter: {{kind: lora, rank: 2, alpha: 4}}", "textual_inversion: {{token: <wug>}}")
        self.assertIn("none of the 4 captions has the word '<wug>'", self.check(recipe=word))
        self.check("data.trigger=<wug>", code=0, recipe=word)
        for i in range(1, 4):
            (self.mine / f"{i}.png").unlink()
        self.assertIn("a share wants at least two pictures", self.check("data.validation=0.5"))
        said = self.lathe("train", self.recipe("run", RECIPE), "--set", "data.validation=0.5", code=2)[1]
        self.assertIn("data.validation: a share wants at least two pictures, 1 can be used", said)

    def test_metadata_that_names_captions_in_two_ways(self):
        self.metadata({"file_name": "0.png", "text": "a ring"}, *({"file_name": f"{i}.png", "caption": "a hat"} for i in (1, 2, 3)))
        said = self.check()
        self.assertIn("metadata.jsonl:2: 'text', the caption, is missing, which other records have; found caption", said)
        self.metadata({"file_name": "0.png", "text": "a ring", "width": 3}, {"file_name": "1.png", "width": 3})
        self.check(code=0)

    def test_names_in_metadata(self):
        (self.mine / "img").mkdir()
        self.picture("img/1.png", 7)
        (self.mine / "0.png").rename(self.mine / "img" / "2.png")
        self.metadata({"file_name": "./img/1.png", "text": "a ring"}, {"file_name": "img//2.png", "text": "a hat"})
        shown = json.loads(self.lathe("preview", self.recipe("run", RECIPE), "--count", "8", "--json", "--quiet")[0])
        self.assertLess({"a ring", "a hat"}, {p["caption"] for p in shown["pictures"]})
        self.metadata({"file_name": "img\\1.png", "text": "a ring"})
        self.assertIn("metadata.jsonl:1: 'img\\1.png' has backslashes; write 'img/1.png'", self.check())

    def test_commands_that_are_advised_can_be_pasted(self):
        folder = self.folder / "two words"
        folder.mkdir()
        head = b"RIFF" + (30).to_bytes(4, "little") + b"WEBPVP8X" + (10).to_bytes(4, "little") + bytes([2, 0, 0, 0, 7, 0, 0, 7, 0, 0])
        (folder / "a.webp").write_bytes(head + b"ANIM" + (6).to_bytes(4, "little") + bytes(6))
        said = "".join(self.lathe("preview", self.recipe("run", RECIPE), "--set", "data.train=['two words']", code=1))
        self.assertIn(f"webpmux -get frame 1 '{folder}/a.webp'", said)

    def test_what_is_left_out_is_told_under_quiet_and_kept(self):
        for i in range(7):
            (self.mine / f"broken {i}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        (self.mine / "old.gif").write_bytes(b"GIF89a")
        _, log = self.lathe("train", self.recipe("run", RECIPE), "--quiet")
        self.assertIn("warning: 8 file(s) of 'train' are left out: mine/broken 0.png (", log)
        self.assertIn(" and 3 more, all in ", log)
        page = (self.folder / "run" / "report.html").read_text()
        for name in (*(f"mine/broken {i}.png" for i in range(7)), "mine/old.gif"):
            self.assertIn(name, page)
        self.assertIn(".gif is a format that is not read", page)
        log = self.lathe("train", self.recipe("silent", RECIPE), "--quiet", "--set", "report.examples=none")[1]
        self.assertIn("are left out", log)
        self.assertNotIn("mine/old.gif", (self.folder / "silent" / "report.html").read_text())

    def test_shards_of_pictures(self):
        said = self.check("export=[{format: diffusers, max_shard_bytes: 100000}]", code=0)
        self.assertIn("'export[0].max_shard_bytes' has no effect", said)
        said = self.lathe("export", "sd", "--max-shard-bytes", "100000", "--output", "out", code=2)[1]
        self.assertIn("--max-shard-bytes", said)


class DrawingMistakes(Case):
    def sample(self, model, *arguments):
        return self.lathe("sample", model, "--prompt", "x", "--steps", "1", "--output", "out", *arguments, code=2)[1]

    def test_sizes_are_arguments(self):
        model = write_pipeline(self.folder / "model")
        self.assertIn("sides are multiples of 2", self.sample(model, "--height", "5"))
        self.assertIn("sides are multiples of", self.sample(write_stable_diffusion(self.folder / "sd"), "--height", "17"))

    def test_seeds_and_numbers(self):
        model = write_pipeline(self.folder / "model")
        for seed in ("-1", str(2**64), "1.5", "010"):
            self.assertIn("0 to 18446744073709551615", self.sample(model, f"--seed={seed}"))
        self.lathe("sample", model, "--prompt", "x", "--steps", "1", "--output", "out", "--seed", str(2**64 - 1))
        self.assertIn("1 to 1000", self.lathe("sample", model, "--prompt", "x", "--steps", "1001", "--output", "o", code=2)[1])

    def test_a_mask_of_another_size(self):
        write_stable_diffusion(self.folder / "sd", filling_in=True)
        write_png(self.folder / "wide.png", 64, 32, lambda x, y: (x, y, 0))
        write_png(self.folder / "mask.png", 32, 32, lambda x, y: (255,) * 3)
        write_png(self.folder / "wide mask.png", 64, 32, lambda x, y: (255,) * 3)
        said = self.sample("sd", "--image", "wide.png", "--mask", "mask.png")
        self.assertIn("mask.png is 32 x 32, and wide.png 64 x 32; make them the same size", said)
        self.lathe("sample", "sd", "--prompt", "x", "--steps", "1", "--output", "good", "--image", "wide.png", "--mask", "wide mask.png")


if __name__ == "__main__":
    import unittest
    unittest.main()
