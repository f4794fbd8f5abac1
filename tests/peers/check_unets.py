"""UNets, without and with texts, and autoencoders of diffusers drawn at random, every parameter randomised, beside Lathe's: outputs
and all gradients (tests/parity/unet_parity.cpp, autoencoder_parity.cpp).

    check_unets.py FOLDER [SEED] [COUNT]     draws UNets into FOLDER/unet-<n> and FOLDER/unet-text-<n>
"""
import os
import random
import subprocess
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import make_diffusion_goldens


def drawn_config(draw):
    """One UNet2DModel that can be built: any depth, widths, attentions, head sizes, norms, times and classes."""
    levels, groups = draw.randint(1, 3), draw.choice([1, 2, 4])
    head = draw.choice([None, 2, 4])
    widths = [draw.choice([4, 8, 12]) for _ in range(levels)]
    attends = lambda plain: tuple(("Attn" if draw.random() < 0.5 else "") + plain for _ in range(levels))
    return dict(sample_size=4 * 2 ** levels, in_channels=draw.choice([1, 3, 4]), out_channels=draw.choice([1, 3]),
                block_out_channels=tuple(widths), layers_per_block=draw.choice([1, 2]), norm_num_groups=groups,
                down_block_types=attends("DownBlock2D"), up_block_types=attends("UpBlock2D"), add_attention=draw.random() < 0.7,
                attention_head_dim=head, norm_eps=draw.choice([1e-5, 1e-6, 0.1]), flip_sin_to_cos=draw.random() < 0.5,
                freq_shift=draw.choice([0, 1]), center_input_sample=draw.random() < 0.3, downsample_padding=draw.choice([0, 1]),
                mid_block_scale_factor=draw.choice([1, 0.7]), num_class_embeds=draw.choice([None, 2, 11]))


def drawn_condition(draw):
    """One UNet2DConditionModel: as above, with texts, heads of each level and either projection."""
    config = drawn_config(draw)
    for key in ("add_attention", "num_class_embeds"):
        del config[key]
    levels = len(config["block_out_channels"])
    heads = [draw.choice([1, 2, 4]) for _ in range(levels)]
    words = lambda plain: tuple(("CrossAttn" if draw.random() < 0.6 else "") + plain for _ in range(levels))
    return config | dict(down_block_types=words("DownBlock2D"), up_block_types=words("UpBlock2D"), cross_attention_dim=draw.choice([3, 8]),
                         attention_head_dim=draw.choice([heads, heads[0]]), transformer_layers_per_block=draw.choice([1, 1, 2]),
                         use_linear_projection=draw.random() < 0.5, upcast_attention=draw.random() < 0.3,
                         mid_block_type=draw.choice(["UNetMidBlock2DCrossAttn", "UNetMidBlock2DCrossAttn", None]))


def drawn_autoencoder(draw):
    levels, groups = draw.randint(1, 4), draw.choice([1, 2])   # with one channel a group, a bias before the norm has rounding for a gradient
    return dict(in_channels=draw.choice([1, 3, 4]), out_channels=draw.choice([1, 3]), latent_channels=draw.choice([1, 4, 16]),
                block_out_channels=tuple(draw.choice([4, 8, 12]) for _ in range(levels)), layers_per_block=draw.choice([1, 2]),
                norm_num_groups=groups, down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
                mid_block_add_attention=draw.random() < 0.7, use_quant_conv=draw.random() < 0.7, use_post_quant_conv=draw.random() < 0.7)


MAKERS = {"unet": make_diffusion_goldens.unet, "unet-text": make_diffusion_goldens.unet_condition,
          "autoencoder": make_diffusion_goldens.autoencoder}
CONFIGS = {"unet": drawn_config, "unet-text": drawn_condition, "autoencoder": drawn_autoencoder}


def draw_all(root, seed=1, count=12, kinds=("unet", "unet-text")):
    """The folders, of each kind `count`."""
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    folders = {Path(root) / f"{kind}-{i:02}": kind for kind in kinds for i in range(count)}
    for folder, kind in folders.items():
        with torch.enable_grad():
            MAKERS[kind](folder, generator, **CONFIGS[kind](draw))
    return list(folders)


def compare(root, binary, kind="unet"):
    """(exit code, names that were compared, all that was printed)"""
    result = subprocess.run([str(binary), f"[drawn_{kind}s]"], env={**os.environ, f"LATHE_DRAWN_{kind.upper()}S": str(root)},
                            capture_output=True, text=True)
    return result.returncode, [line for line in result.stdout.splitlines() if f"drawn {kind}-" in line], result.stdout + result.stderr


if __name__ == "__main__":
    draw_all(sys.argv[1], *(int(number) for number in sys.argv[2:4]))
