#!/usr/bin/env python3
"""Writes tests/fixtures/pictures/keys.json: what diffusers and transformers call each parameter of Stable Diffusion, and the names of
it that diffusers' own readers take: of an original single file, and of LoRA files in PEFT's and kohya's spelling. The exporter's names
are compared with it (tests/unit/checkpoints/coverage.cpp), so that what `lathe check` counts is not its own word alone.

    $(scripts/peers_env) scripts/make_picture_keys.py

Names of a single file: every name that a block of the original layout could have is put through diffusers' converter, each with a
value of its own; what comes out under a name that the network has is the pair. Nothing of ours is asked. Whole tables of small
networks, counts and SHA-256 of the published sizes.
"""
import hashlib
import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, StableDiffusion3Pipeline, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from diffusers.utils import convert_state_dict_to_diffusers, convert_state_dict_to_peft, convert_unet_state_dict_to_peft
from transformers import CLIPTextConfig, CLIPTextModel

OUTPUT = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "pictures" / "keys.json"
SMALL = dict(unet=dict(block_out_channels=(32, 64), layers_per_block=1, cross_attention_dim=64,
                       down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D")),
             vae=dict(block_out_channels=(32, 64, 32), layers_per_block=1), text=dict(hidden_size=64, num_hidden_layers=2, num_attention_heads=1))
PUBLISHED = dict(unet=dict(cross_attention_dim=768), vae=dict(block_out_channels=(128, 256, 512, 512), layers_per_block=2),
                 text=dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12))
# Version 2 as published: linear projections, OpenCLIP's encoder without its last layer.
SECOND = dict(unet=dict(cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True), vae=PUBLISHED["vae"],
              text=dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu"))
ENDS = ("weight", "bias")


class Networks:
    """Without memory: names are all that is wanted."""

    def __init__(self, settings):
        levels = len(settings["vae"]["block_out_channels"])
        with torch.device("meta"):
            self.unet = UNet2DConditionModel(**settings["unet"])
            self.vae = AutoencoderKL(latent_channels=4, down_block_types=("DownEncoderBlock2D",) * levels,
                                     up_block_types=("UpDecoderBlock2D",) * levels, **settings["vae"])
            self.text = CLIPTextModel(CLIPTextConfig(**settings["text"]))

    def names(self):
        """Behind the folder's name, as the folder's files have them; transformers 5 leaves a "text_model." out."""
        for part in ("unet", "vae", "text"):
            for name in dict(getattr(self, part).named_parameters()):
                yield {"text": "text_encoder." + ("" if name.startswith("text_model.") else "text_model.")}.get(part, part + ".") + name

    def sites(self):
        """Linear layers and convolutions of the blocks: where an adapter may stand."""
        kinds = torch.nn.Linear, torch.nn.Conv2d
        for name, module in self.unet.named_modules():
            if isinstance(module, kinds) and "_block" in name:
                yield "unet." + name
        for name, module in self.text.named_modules():
            if isinstance(module, kinds) and "layers." in name:
                yield "text_encoder." + ("" if name.startswith("text_model.") else "text_model.") + name


def tagged(names, shape=(1, 1, 1, 1)):
    return {name: torch.full(shape, float(number)) for number, name in enumerate(names)}


def upsampler(networks, block):
    """The parts of a block are numbered: behind an attention it is the third. The converter reads it in either place."""
    level = block // (networks.unet.config["layers_per_block"] + 1)
    return "2.conv" if any(name.startswith(f"up_blocks.{level}.attentions.") for name, _ in networks.unet.named_modules()) else "1.conv"


def original_universe(networks, second):
    attention = [f"transformer_blocks.0.{part}" for part in [f"attn{n}.{p}" for n in (1, 2) for p in ("to_q", "to_k", "to_v", "to_out.0")] +
                 ["ff.net.0.proj", "ff.net.2", "norm1", "norm2", "norm3"]] + ["norm", "proj_in", "proj_out"]
    resnet = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3", "skip_connection"]
    unet = ["input_blocks.0.0", "time_embed.0", "time_embed.2", "out.0", "out.2"]
    for block in range(12):
        unet += [f"input_blocks.{block}.{part}" for part in [f"0.{r}" for r in resnet + ["op"]] + [f"1.{a}" for a in attention] if block]
        unet += [f"output_blocks.{block}.{part}" for part in [f"0.{r}" for r in resnet] + [f"1.{a}" for a in attention] + [upsampler(networks, block)]]
    unet += [f"middle_block.{place}.{part}" for place, parts in ((0, resnet), (1, attention), (2, resnet)) for part in parts]
    block = ["norm1", "conv1", "norm2", "conv2", "nin_shortcut"]
    vae = ["quant_conv", "post_quant_conv"]
    for side in ("encoder", "decoder"):
        level = f"{side}.down" if side == "encoder" else f"{side}.up"
        vae += [f"{side}.{end}" for end in ("conv_in", "conv_out", "norm_out")]
        vae += [f"{side}.mid.block_{n}.{part}" for n in (1, 2) for part in block]
        vae += [f"{side}.mid.attn_1.{part}" for part in ("norm", "q", "k", "v", "proj_out")]
        vae += [f"{level}.{i}.block.{j}.{part}" for i in range(4) for j in range(3) for part in block]
        vae += [f"{level}.{i}.{'downsample' if side == 'encoder' else 'upsample'}.conv" for i in range(4)]
    names = [f"model.diffusion_model.{name}.{end}" for name in unet for end in ENDS]
    names += [f"first_stage_model.{name}.{end}" for name in vae for end in ENDS]
    layer = ["ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj", "attn.out_proj"]
    text = ["token_embedding.weight", "positional_embedding", "ln_final.weight", "ln_final.bias"]
    text += [f"transformer.resblocks.{i}.{part}" for i in range(24) for part in
             [f"{name}.{end}" for name in layer for end in ENDS] + ["attn.in_proj_weight", "attn.in_proj_bias"]]
    return names, ["cond_stage_model.model." + name for name in text] if second else []


def single_file(networks, settings, second):
    """{our part and diffusers' name: the original name} of every parameter that diffusers' converters give."""
    names, text_names = original_universe(networks, second)
    universe = tagged(names)
    found = {}
    for part, convert, config in (("unet", single_file_utils.convert_ldm_unet_checkpoint, networks.unet.config),
                                  ("vae", single_file_utils.convert_ldm_vae_checkpoint, networks.vae.config)):
        for name, value in convert(dict(universe), dict(config)).items():
            found[f"{part}.{name}"] = names[int(value.flatten()[0])]
    if second:
        stub = SimpleNamespace(config=SimpleNamespace(hidden_size=1))
        converted = single_file_utils.convert_open_clip_checkpoint(stub, tagged(text_names, (3, 1)))
        for name, value in converted.items():
            found["text_encoder." + ("" if name.startswith("text_model.") else "text_model.") + name] = text_names[int(value.flatten()[0])]
    else:   # transformers' own names behind a prefix, which diffusers' reader takes away
        prefix = "cond_stage_model.transformer."
        found |= {"text_encoder." + name.removeprefix("text_encoder."): prefix + name.removeprefix("text_encoder.")
                  for name in networks.names() if name.startswith("text_encoder.")}
    wanted = list(networks.names())
    missing = [name for name in wanted if name not in found]
    assert not missing, missing[:5]
    return {name: found[name] for name in wanted}


def lora_file(modules, spell, ends):
    return {f"{spell(module)}.{end}": torch.full((1, 1), float(number)) if end != "alpha" else torch.tensor(1.0)
            for number, module in enumerate(modules) for end in ends}


def kohya_name(module):
    return ("lora_unet_" if module.startswith("unet.") else "lora_te_") + module.split(".", 1)[1].replace(".", "_")


def not_read(networks, modules, spell, ends):
    """Modules whose factors a StableDiffusionPipeline does not put where they belong."""
    state, _ = StableDiffusionPipeline.lora_state_dict(lora_file(modules, spell, ends), unet_config=networks.unet.config)
    unet = convert_unet_state_dict_to_peft({k: v for k, v in state.items() if k.startswith("unet.")})
    text = {k: v for k, v in state.items() if k.startswith("text_encoder.")}
    text = convert_state_dict_to_peft(convert_state_dict_to_diffusers(text)) if text else {}
    end, found = ".lora_A.weight", {}
    for name, value in {**unet, **text}.items():
        if name.endswith(end):
            found[modules[int(value.flatten()[0])]] = name.removesuffix(end)
    return sorted(module for module in modules if found.get(module) != module)


def read_by_diffusers(networks, originals):
    """Of LoRA files on every site, and on all but the text encoder's out_proj: what diffusers leaves."""
    modules = list(networks.sites())
    fewer = [module for module in modules if not module.endswith(".out_proj")]
    older, newer = ("lora_down.weight", "lora_up.weight", "alpha"), ("lora_A.weight", "lora_B.weight")
    native = lambda module: originals.get(module + ".weight", module).replace("model.diffusion_model.", "diffusion_model.").removesuffix(".weight")
    return {"kohya": not_read(networks, modules, kohya_name, older), "kohya_without_out_proj": not_read(networks, fewer, kohya_name, older),
            "peft": not_read(networks, modules, str, newer), "comfyui": not_read(networks, modules, native, newer)}


def digest(lines):
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def main():
    logging.disable(logging.WARNING)
    result = {"diffusers": diffusers.__version__, "transformers": transformers.__version__}
    for name, settings, second in (("small", SMALL, False), ("first", PUBLISHED, False), ("second", SECOND, True)):
        networks = Networks(settings)
        pairs = single_file(networks, settings, second)
        modules, left = list(networks.sites()), read_by_diffusers(networks, pairs)
        lines = [f"{original}\t{ours}" for ours, original in pairs.items()]
        entry = {"parameters": len(pairs), "single_file": digest(lines), "sites": len(modules), "site_names": digest(modules),
                 "kohya": digest(kohya_name(module) for module in modules),
                 "not_read": {spelling: len(names) for spelling, names in left.items()}}
        if name == "small":
            entry["table"] = {ours.removesuffix(".weight"): original.removesuffix(".weight")
                              for ours, original in pairs.items() if not ours.endswith(".bias")}
            entry["text_left"] = all(name.startswith("text_encoder.") for name in left["kohya_without_out_proj"])
        result[name] = entry
        print(name, {key: value for key, value in entry.items() if key != "table"}, file=sys.stderr)
    sd3 = {f"{front}.{end}": torch.ones(1, 1) for front, ends in (("lora_unet_joint_blocks_0_x_block_attn_proj", ("lora_down.weight", "lora_up.weight")),
                                                                  ("diffusion_model.joint_blocks.0.x_block.attn.proj", ("lora_A.weight", "lora_B.weight")))
           for end in ends}
    result["sd3"] = {"not_read": sum(not name.startswith("transformer.") for name in StableDiffusion3Pipeline.lora_state_dict(sd3)) // 2}
    OUTPUT.write_text(json.dumps(result, indent=0, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
