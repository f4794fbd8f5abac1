"""Writes a tiny random Stable Diffusion 1 as diffusers and transformers would: folders, names and files, without either."""
import json
import math
import random
import shutil
from array import array

from picture_model import linear, write_json, write_safetensors
from program import ROOT

CLIP_FOLDER = ROOT / "tests" / "unit" / "data" / "tokenizers" / "fixtures" / "clip_folder"
LEVELS, LATENT_LEVELS, TIME, TEXT, WIDE, LENGTH = (32, 64), (32, 64, 32), 128, 64, 40, 12
SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def convolution(name, inside, outside, side=3):
    return {f"{name}.weight": (outside, inside, side, side), f"{name}.bias": (outside,)}


def norm(name, channels):
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def resnet(name, inside, outside, time):
    return {**norm(name + ".norm1", inside), **convolution(name + ".conv1", inside, outside),
            **(linear(name + ".time_emb_proj", time, outside) if time else {}), **norm(name + ".norm2", outside),
            **convolution(name + ".conv2", outside, outside),
            **(convolution(name + ".conv_shortcut", inside, outside, 1) if inside != outside else {})}


def cross_attention(name, channels):
    block = name + ".transformer_blocks.0"
    shapes = {**norm(name + ".norm", channels), **convolution(name + ".proj_in", channels, channels, 1),
              **convolution(name + ".proj_out", channels, channels, 1)}
    for number, context in ((1, channels), (2, TEXT)):
        attention = f"{block}.attn{number}"
        shapes |= {f"{attention}.to_q.weight": (channels, channels), f"{attention}.to_k.weight": (channels, context),
                   f"{attention}.to_v.weight": (channels, context), **linear(attention + ".to_out.0", channels, channels),
                   **norm(f"{block}.norm{number}", channels)}
    return {**shapes, **norm(block + ".norm3", channels), **linear(block + ".ff.net.0.proj", channels, 8 * channels),
            **linear(block + ".ff.net.2", 4 * channels, channels)}


def network_shapes(inputs=4):
    first, last = LEVELS
    shapes = {**convolution("conv_in", inputs, first), **linear("time_embedding.linear_1", first, TIME),
              **linear("time_embedding.linear_2", TIME, TIME), **norm("conv_norm_out", first), **convolution("conv_out", first, 4)}
    shapes |= {**resnet("down_blocks.0.resnets.0", first, first, TIME), **cross_attention("down_blocks.0.attentions.0", first),
               **convolution("down_blocks.0.downsamplers.0.conv", first, first), **resnet("down_blocks.1.resnets.0", first, last, TIME)}
    shapes |= {**resnet("mid_block.resnets.0", last, last, TIME), **cross_attention("mid_block.attentions.0", last),
               **resnet("mid_block.resnets.1", last, last, TIME)}
    shapes |= {**resnet("up_blocks.0.resnets.0", 2 * last, last, TIME), **resnet("up_blocks.0.resnets.1", last + first, last, TIME),
               **convolution("up_blocks.0.upsamplers.0.conv", last, last)}
    for layer, inside in enumerate((last + first, 2 * first)):
        shapes |= {**resnet(f"up_blocks.1.resnets.{layer}", inside, first, TIME), **cross_attention(f"up_blocks.1.attentions.{layer}", first)}
    return shapes


def latent_shapes():
    shapes = {**convolution("quant_conv", 8, 8, 1), **convolution("post_quant_conv", 4, 4, 1)}
    for side, levels, ends, layers in (("encoder", LATENT_LEVELS, (3, 8), 1), ("decoder", LATENT_LEVELS[::-1], (4, 3), 2)):
        middle, before = LATENT_LEVELS[-1], levels[0]
        shapes |= {**convolution(side + ".conv_in", ends[0], before), **norm(side + ".conv_norm_out", levels[-1]),
                   **convolution(side + ".conv_out", levels[-1], ends[1]), **resnet(side + ".mid_block.resnets.0", middle, middle, 0),
                   **resnet(side + ".mid_block.resnets.1", middle, middle, 0), **norm(side + ".mid_block.attentions.0.group_norm", middle)}
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            shapes |= linear(f"{side}.mid_block.attentions.0.{part}", middle, middle)
        blocks, sampler = ("down_blocks", "downsamplers") if side == "encoder" else ("up_blocks", "upsamplers")
        for level, channels in enumerate(levels):
            for layer in range(layers):
                shapes |= resnet(f"{side}.{blocks}.{level}.resnets.{layer}", before, channels, 0)
                before = channels
            if level + 1 < len(levels):
                shapes |= convolution(f"{side}.{blocks}.{level}.{sampler}.0.conv", channels, channels)
    return shapes


def text_shapes(vocabulary):
    shapes = {"text_model.embeddings.token_embedding.weight": (vocabulary, TEXT),
              "text_model.embeddings.position_embedding.weight": (LENGTH, TEXT), **norm("text_model.final_layer_norm", TEXT)}
    for layer in range(2):
        block = f"text_model.encoder.layers.{layer}."
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= linear(f"{block}self_attn.{part}", TEXT, TEXT)
        shapes |= {**norm(block + "layer_norm1", TEXT), **norm(block + "layer_norm2", TEXT),
                   **linear(block + "mlp.fc1", TEXT, WIDE), **linear(block + "mlp.fc2", WIDE, TEXT)}
    return shapes


def tensors(shapes, seed):
    """Even between -0.1 and 0.1, norms' weights around 1: a million values in well under a second."""
    source, result = random.Random(seed), {}
    for name, shape in shapes.items():
        around = 1 if "norm" in name and name.endswith("weight") else 0
        raw = array("h", source.randbytes(2 * math.prod(shape)))
        result[name] = shape, [around + value / 327680 for value in raw]
    return result


def write_stable_diffusion(folder, seed=1, filling_in=False):
    inputs = 9 if filling_in else 4
    shutil.copytree(CLIP_FOLDER, folder / "tokenizer")
    (folder / "tokenizer" / "expected.json").unlink()
    vocabulary = len(json.loads((CLIP_FOLDER / "vocab.json").read_text(encoding="utf-8")))
    settings = json.loads((CLIP_FOLDER / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer" / "tokenizer_config.json", settings | {"model_max_length": LENGTH})
    parts = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", "DDIMScheduler"],
             "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"]}
    write_json(folder / "model_index.json", {"_class_name": f"StableDiffusion{'Inpaint' if filling_in else ''}Pipeline",
                                             "_diffusers_version": "0.42.1", **parts})
    write_json(folder / "scheduler" / "scheduler_config.json", {"_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "steps_offset": 1,
                                                                "set_alpha_to_one": False, "clip_sample": False, **SCALED})
    write_json(folder / "unet" / "config.json",
               {"_class_name": "UNet2DConditionModel", "sample_size": 8, "in_channels": inputs, "block_out_channels": LEVELS, "layers_per_block": 1,
                "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
                "cross_attention_dim": TEXT, "attention_head_dim": 8})
    write_json(folder / "vae" / "config.json",
               {"_class_name": "AutoencoderKL", "sample_size": 32, "block_out_channels": LATENT_LEVELS, "layers_per_block": 1,
                "latent_channels": 4, "down_block_types": ["DownEncoderBlock2D"] * 3, "up_block_types": ["UpDecoderBlock2D"] * 3})
    write_json(folder / "text_encoder" / "config.json",
               {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "vocab_size": vocabulary, "hidden_size": TEXT,
                "intermediate_size": WIDE, "num_hidden_layers": 2, "num_attention_heads": 1, "max_position_embeddings": LENGTH,
                "eos_token_id": vocabulary - 1, "hidden_act": "quick_gelu"})
    for part, shapes, name in (("unet", network_shapes(inputs), "diffusion_pytorch_model"), ("vae", latent_shapes(), "diffusion_pytorch_model"),
                               ("text_encoder", text_shapes(vocabulary), "model")):
        write_safetensors(folder / part / f"{name}.safetensors", tensors(shapes, seed))
        seed += 1
    return folder
