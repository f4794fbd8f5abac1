"""Peak memory that lathe plan tells of pictures, beside that of lathe train, over drawn configurations: size of network x batch x
resolution x precision, with and without grids of samples, averages, checkpoints between and exports. LATHE_PICTURE_PLANS sets how many
of each backbone (10), LATHE_PLAN_SEED which."""
import os
import random
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from picture_planning import describe_picture_run, draw_picture_run, picture_recipe
from planning import TOLERANCE, run

COUNT = int(os.environ.get("LATHE_PICTURE_PLANS", "10"))
SEED = int(os.environ.get("LATHE_PLAN_SEED", "1"))


class PicturePlans(unittest.TestCase):
    def test_drawn_configurations(self):
        folder = Path(tempfile.mkdtemp(prefix="lathe plans "))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        rng = random.Random(SEED)
        for index in range(COUNT):
            for family in ("sd3", "dit", "unet2d"):
                config = draw_picture_run(rng, family, 1e11)
                with self.subTest(describe_picture_run(config)):
                    name = f"{family}{index}"
                    recipe = picture_recipe(config, name, folder)
                    plan, result = run("plan", recipe, cwd=folder), run("train", recipe, cwd=folder)
                    ratio = plan["peak_memory"] / result["peak_memory"]
                    print(f"  {ratio:.2f} = {plan['peak_memory'] / 1e6:.0f} / {result['peak_memory'] / 1e6:.0f} MB, "
                          f"{plan['parameters'] / 1e6:.1f} M: {describe_picture_run(config)}", flush=True)
                    self.assertEqual(plan["steps"], result["total_steps"])
                    self.assertLess(abs(ratio - 1), TOLERANCE)
                    shutil.rmtree(folder / name, ignore_errors=True)


if __name__ == "__main__":
    unittest.main()
