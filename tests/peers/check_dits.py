"""DiTs of diffusers drawn at random, every parameter randomised, beside Lathe's: outputs and all gradients (tests/parity/dit_parity.cpp).

    check_dits.py FOLDER [SEED] [COUNT]     draws them into FOLDER/dit-<n>
"""
import random
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import make_diffusion_goldens


def drawn_config(draw):
    """One DiTTransformer2DModel that can be built: any depth, heads, patches, classes, biases and norms."""
    patch, heads = draw.choice([1, 2, 4]), draw.randint(1, 4)
    head = draw.choice([4, 8, 12]) if heads % 4 else draw.randint(1, 6)
    return dict(sample_size=patch * draw.randint(2, 5), patch_size=patch, in_channels=draw.choice([1, 3, 4]), num_layers=draw.randint(1, 3),
                out_channels=draw.choice([1, 3, 8]), num_attention_heads=heads, attention_head_dim=head, attention_bias=draw.random() < 0.7,
                num_embeds_ada_norm=draw.choice([2, 10, 1000]), norm_eps=draw.choice([1e-5, 1e-6, 0.1]))


def draw_all(root, seed=1, count=12):
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    folders = [Path(root) / f"dit-{i:02}" for i in range(count)]
    for folder in folders:
        with torch.enable_grad():
            make_diffusion_goldens.dit(folder, generator, **drawn_config(draw))
    return folders


if __name__ == "__main__":
    draw_all(sys.argv[1], *(int(number) for number in sys.argv[2:4]))
