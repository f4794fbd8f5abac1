"""MM-DiTs of diffusers and CLIP text encoders of transformers drawn at random, every parameter randomised, beside Lathe's: outputs and
all gradients (tests/parity/diffusion_parity.cpp).

    check_mm_dits.py FOLDER [SEED] [COUNT]     draws them into FOLDER/joint/joint-<n> and FOLDER/clip/clip-<n>
"""
import random
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import make_diffusion_goldens


def drawn_joint(draw):
    """One SD3Transformer2DModel without dual attention: any depth, heads, patches, channels, conditions, table of positions and norms."""
    heads, head, patch = draw.randint(1, 4), draw.choice([4, 8, 12]), draw.choice([1, 2])
    sample = patch * draw.randint(2, 5)
    return dict(sample_size=sample, patch_size=patch, in_channels=draw.choice([1, 3, 4]), out_channels=draw.choice([1, 3, 4]),
                num_layers=draw.randint(1, 4), num_attention_heads=heads, attention_head_dim=head, caption_projection_dim=heads * head,
                joint_attention_dim=draw.choice([3, 6, 16]), pooled_projection_dim=draw.choice([2, 5, 24]),
                pos_embed_max_size=8 // patch + draw.randint(0, 5), qk_norm=draw.choice([None, "rms_norm"]))


def drawn_clip(draw):
    heads = draw.randint(1, 4)
    return dict(hidden_size=heads * draw.choice([2, 4, 6]), num_attention_heads=heads, num_hidden_layers=draw.randint(1, 4),
                intermediate_size=draw.choice([6, 12, 40]), projection_dim=draw.choice([3, 5, 16]), vocab_size=draw.choice([40, 57]),
                max_position_embeddings=draw.choice([7, 11]), hidden_act=draw.choice(["quick_gelu", "gelu"]),
                layer_norm_eps=draw.choice([1e-5, 1e-6, 0.1]), eos_token_id=draw.choice([39, 2]))


KINDS = {"joint": (make_diffusion_goldens.joint_transformer, drawn_joint), "clip": (make_diffusion_goldens.clip_text, drawn_clip)}


def draw_all(root, kind, seed=1, count=12):
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    make, config = KINDS[kind]
    folders = [Path(root) / f"{kind}-{i:02}" for i in range(count)]
    for folder in folders:
        with torch.enable_grad():
            make(folder, generator, **config(draw))
    return folders


if __name__ == "__main__":
    for kind in KINDS:
        draw_all(Path(sys.argv[1]) / kind, kind, *(int(number) for number in sys.argv[2:4]))
