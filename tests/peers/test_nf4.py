"""NF4 with double quantisation against bitsandbytes' CPU backend: every byte of what is stored, every bit of what it stands for."""
import os
import subprocess
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("LATHE_BUILD", ROOT / "build" / "release")) / "tests" / "quantise_nf4"

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import bitsandbytes.functional as reference


def draw(generator, rows, columns, dtype):
    """Rows of different spreads, a few outliers, a few exact zeros."""
    x = torch.randn(rows, columns, generator=generator) * torch.rand(rows, 1, generator=generator) * 0.1
    x[torch.rand(rows, columns, generator=generator) < 0.001] *= 20
    x[torch.rand(rows, columns, generator=generator) < 0.01] = 0
    return x.to(dtype)


class Nf4(unittest.TestCase):
    def setUp(self):
        torch.set_num_threads(1)   # the mean of the scales is a sum in one thread's order
        generator = torch.Generator().manual_seed(11)
        shapes = [(1, 64), (5, 128), (64, 256), (192, 192), (768, 768), (256, 2048), (2048, 1024)]
        self.tensors = {f"{i}.{str(dtype)[6:]}": draw(generator, *shape, dtype) for i, shape in enumerate(shapes)
                        for dtype in (torch.float32, torch.bfloat16, torch.float16)}
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
            save_file(self.tensors, source)
            subprocess.run([PROGRAM, source, target], check=True)
            self.ours = load_file(target)

    def test_the_map_of_the_scales_is_the_same(self):
        self.assertTrue(torch.equal(self.ours["map"], reference.create_dynamic_map()))

    def test_packed_codes_scales_and_dense_values_are_the_same(self):
        for name, tensor in self.tensors.items():
            with self.subTest(tensor=name):
                same = lambda part, wanted: self.assertTrue(torch.equal(self.ours[f"{name}.{part}"].flatten(), wanted.flatten()), part)
                packed, plain = reference.quantize_4bit(tensor, blocksize=64, quant_type="nf4", compress_statistics=False)
                same("plain_scales", plain.absmax.float())
                packed, state = reference.quantize_4bit(tensor, blocksize=64, quant_type="nf4", compress_statistics=True)
                same("packed", packed)
                same("offset", state.offset)
                same("scales", state.state2.absmax)
                same("scale_codes", state.absmax)
                self.assertEqual(state.state2.blocksize, 256)
                # 0.49's CPU kernel overwrites the map's first value, -0.993, by -1 while it quantises; its CUDA kernels do not.
                state.state2.code = reference.create_dynamic_map()
                for part, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
                    state.dtype = dtype
                    same(part, reference.dequantize_4bit(packed, state))


if __name__ == "__main__":
    unittest.main()
