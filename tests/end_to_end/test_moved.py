"""Runs and data that stand elsewhere than they did: what is the same by content goes on, bit for bit."""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import Case


class Moved(Case):
    def weights(self, run):
        return (self.folder / run / "checkpoints" / "step-00000020" / "model.safetensors").read_bytes()

    def half(self, name):
        self.train(name, extra=("--stop-after", "10"))

    def test_a_moved_run_goes_on_where_it_stands(self):
        self.train("whole")
        self.half("half")
        (self.folder / "half").rename(self.folder / "other")
        _, log = self.lathe("train", self.folder / "other" / "recipe.yaml")
        self.assertIn("is the recipe of the run that stands beside it", log)
        self.assertFalse((self.folder / "half").exists())
        self.assertEqual(self.weights("other"), self.weights("whole"))
        self.lathe("train", self.folder / "other" / "recipe.yaml", "--set", f"directory={json.dumps(str(self.folder / 'third'))}",
                   "--stop-after", "2", "--quiet")
        self.assertTrue((self.folder / "third" / "run.json").exists())   # what is said is done

    def test_a_copied_run_goes_on_apart(self):
        self.train("whole")
        self.half("half")
        shutil.copytree(self.folder / "half", self.folder / "copy")
        self.lathe("train", "copy/recipe.yaml", "--quiet")
        self.assertEqual(self.weights("copy"), self.weights("whole"))
        self.assertFalse((self.folder / "half" / "checkpoints" / "step-00000020").exists())

    def test_data_at_another_place_is_the_same_data(self):
        self.train("whole")
        self.half("half")
        (self.folder / "elsewhere").mkdir()
        self.corpus = self.corpus.rename(self.folder / "elsewhere" / "corpus")
        self.lathe("train", self.recipe("half"), "--quiet")
        self.assertEqual(self.weights("half"), self.weights("whole"))

    def test_other_data_at_another_place_is_refused(self):
        self.half("half")
        (self.folder / "elsewhere").mkdir()
        self.corpus = self.corpus.rename(self.folder / "elsewhere" / "corpus")
        (self.corpus / "text 00.txt").write_text("another text\n")
        _, log = self.lathe("train", self.recipe("half"), code=2)
        self.assertIn("data_sha256: ", log)


if __name__ == "__main__":
    import unittest
    unittest.main()
