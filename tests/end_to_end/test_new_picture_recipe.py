"""`lathe recipes new` for pictures: what it writes of a folder passes check, says why, and trains."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from picture_model import write_pipeline
from program import Case
from stable_diffusion_folder import write_stable_diffusion
from test_picture_folders import write_png


class NewPictureRecipe(Case):
    def pictures(self, count, folder="set", sides=(20, 20), name="light blue {}", grey=False):
        target = self.folder / folder
        for i in range(count):
            path = target / f"{name.format(i)}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_png(path, *sides, lambda x, y: ((x * 12 + i * 9) % 256,) * 3 if grey else ((x * 12 + i * 9) % 256, (y * 12 + 31 * i) % 256, (i * 40) % 256))
        return target

    def new(self, data, model=None, code=0):
        (self.folder / "mine.yaml").unlink(missing_ok=True)
        output, log = self.lathe("recipes", "new", "--data", data, *(("--model", model) if model else ()), "--output", "mine.yaml", "--json", code=code)
        if code:
            return log
        text = (self.folder / "mine.yaml").read_text(encoding="utf-8")
        self.lathe("check", "mine.yaml")
        for line in text.splitlines():
            self.assertTrue("#" in line or line == "data:", f"a line without a comment: {line}")
        self.assertEqual(json.loads(output)["recipe"], text)
        return text

    def trained(self, *sets):
        arguments = [item for value in ("train.max_steps=2", "schedule.warmup_steps=0", "train.global_batch_size=4", "diffusion.sampling.steps=2", "diffusion.sampling.count=2", *sets)
                     for item in ("--set", value)]
        self.lathe("train", "mine.yaml", "--quiet", *arguments)
        return json.loads((self.folder / "runs" / "set" / "result.json").read_text())

    def test_stable_diffusion_on_a_dozen_pictures(self):
        base = write_stable_diffusion(self.folder / "sd")
        text = self.new(self.pictures(12, sides=(40, 40)), base)
        self.assertIn("# Pictures: 12 of 12 can be read", text)
        self.assertIn("the names of folders and files", text)
        self.assertRegex(text, r"(?m)^  resolution: \[32\] +# .*the base was made for 32")
        self.assertRegex(text, r"(?m)^adapter: \{kind: lora, rank: 16")
        self.assertRegex(text, r"(?m)^  # trigger: zwx .*every one has: light, blue")
        self.assertRegex(text, r"(?m)^train: \{max_steps: 300, global_batch_size: 4\} +# each picture is seen about 100 times")
        self.assertRegex(text, r"(?m)^  # validation: ")
        self.assertNotIn("\nevaluate:", text)
        result = self.trained()
        self.assertEqual([entry["passed"] for entry in result["exports"]], [True, True])
        self.assertTrue(result["exports"][0]["samples"]["compared"])
        small = self.new(self.pictures(12, "small", sides=(17, 17)), base)   # not larger than the pictures are
        self.assertRegex(small, r"(?m)^  resolution: \[16\] ")

    def test_a_base_of_ours_and_pictures_of_many_shapes(self):
        base = write_pipeline(self.folder / "sd3")
        self.pictures(40)
        (self.folder / "set" / "sub").mkdir()
        self.pictures(12, "set/sub", sides=(40, 16))
        text = self.new(self.folder / "set", base)
        self.assertIn("freeze: [transformer]", text)
        self.assertRegex(text, r"(?m)^  # crops: 3 .*squares cut much")
        self.assertRegex(text, r"(?m)^  validation: 0\.1 ")
        self.trained("data.validation=0.1")

    def test_from_scratch_by_class_by_text_and_by_nothing(self):
        for digit in "012":
            self.pictures(10, f"set/{digit}", sides=(16, 16), name="{}", grey=True)
        text = self.new(self.folder / "set")
        self.assertRegex(text, r"(?m)^model: \{family: unet2d, layers_per_block: 1\} .*the 3 captions are classes")
        self.assertRegex(text, r"(?m)^  channels: 1 .*all pictures are grey")
        self.assertRegex(text, r"30 pictures teach a model from scratch to repeat them; name a base")
        self.trained()
        self.pictures(10, "texts", name="a {} thing")
        for i, path in enumerate(sorted((self.folder / "texts").glob("*.png"))):
            path.with_suffix(".txt").write_text(f"number {i} on the left", encoding="utf-8")
        text = self.new(self.folder / "texts")
        self.assertRegex(text, r"(?m)^model: \{family: sd3")
        self.assertIn("a text beside each picture", text)
        self.assertRegex(text, r"(?m)^  # flip: true .*not here: captions say left or right")
        text = self.new(self.pictures(9, "plain", name="IMG_{:04d}"))
        self.assertIn("class_conditional: false", text)

    def test_masks_that_do_not_fit_and_pictures_that_cannot_be_read(self):
        data = self.pictures(3, name="a {}", sides=(40, 40))
        write_png(data / "a 0-mask.png", 40, 40, lambda x, y: (255,) * 3)
        base = write_stable_diffusion(self.folder / "sd")
        self.assertRegex(self.new(data, base), r"(?m)^  masks: file ")
        write_png(data / "a 1-mask.png", 20, 20, lambda x, y: (255,) * 3)
        (data / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        text = self.new(data, base)
        self.assertRegex(text, r"(?m)^  # masks: file +# .*a 1-mask\.png: the mask is 20 x 20, its picture 40 x 40")
        self.assertRegex(text, r"(?m)^# Note: left out: .*broken\.png: ")
        self.lathe("preview", "mine.yaml", "--quiet")

    def test_what_cannot_be_is_told(self):
        (self.folder / "empty").mkdir()
        self.assertIn("no pictures and no texts in it", self.new(self.folder / "empty", code=2))
        (self.folder / "bad").mkdir()
        (self.folder / "bad" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        self.assertRegex(self.new(self.folder / "bad", code=2), r"none of its 1 pictures can be read: .*a\.png")
        self.assertFalse((self.folder / "mine.yaml").exists())
        data = self.pictures(3)
        (self.folder / "there.yaml").write_text("")
        log = self.lathe("recipes", "new", "--data", data, "--output", "there.yaml", code=2)[1]
        self.assertIn("exists already", log)


if __name__ == "__main__":
    import unittest

    unittest.main()
