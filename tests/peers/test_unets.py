"""UNets and diffusers: networks drawn at random are diffusers' own, outputs and gradients."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_unets
from program import LATHE, Case


class UNets(Case):
    def test_drawn_networks_give_the_same_outputs_and_gradients(self):
        folders = check_unets.draw_all(self.folder / "drawn")
        code, lines, text = check_unets.compare(self.folder / "drawn", Path(LATHE).parent / "tests" / "test_parity")
        self.assertEqual(code, 0, text[-6000:])
        self.assertEqual(len(lines), len(folders))


if __name__ == "__main__":
    import unittest
    unittest.main()
