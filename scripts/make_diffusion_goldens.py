#!/usr/bin/env python3
"""Tiny diffusion networks and what diffusers and transformers compute with them: tests/parity/diffusion/<name>.

    python scripts/make_diffusion_goldens.py OUTPUT      (diffusers==0.42.1, transformers, safetensors, torch)

Every parameter is random, those that are published as zero too: a missing one must show. golden.safetensors holds inputs,
outputs and every gradient of sum(output * probe).
"""
import json
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DiTTransformer2DModel, SD3Transformer2DModel, UNet2DConditionModel, UNet2DModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection


def randomise(model, generator):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(1 + 0.3 * noise if "norm" in name and name.endswith("weight") else 0.3 * noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)


def save(folder, model, config, inputs, outputs, generator):
    """outputs: name -> tensor; their probes' sum is differentiated."""
    folder.mkdir(parents=True, exist_ok=True)
    probes = {f"probe.{name}": torch.randn(value.shape, generator=generator) for name, value in outputs.items()}
    sum((value * probes[f"probe.{name}"]).sum() for name, value in outputs.items()).backward()
    tensors = {f"weight.{name}": value.detach() for name, value in model.named_parameters()}
    # A parameter that nothing differentiated depends on has no gradient: it is left out.
    tensors |= {f"gradient.{name}": value.grad for name, value in model.named_parameters() if value.grad is not None}
    tensors |= inputs | probes | {f"output.{name}": value.detach() for name, value in outputs.items()}
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, folder / "golden.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def joint_transformer(folder, generator, **changes):
    torch.manual_seed(1)
    config = dict(sample_size=8, patch_size=2, in_channels=3, out_channels=4, num_layers=2, attention_head_dim=4,
                  num_attention_heads=2, joint_attention_dim=6, caption_projection_dim=8, pooled_projection_dim=5,
                  pos_embed_max_size=6, qk_norm=None) | changes
    model = SD3Transformer2DModel(**config)
    randomise(model, generator)
    inputs = {"pictures": torch.randn(2, config["in_channels"], 8, 6, generator=generator), "times": torch.tensor([0.5, 731.25]),
              "tokens": torch.randn(2, 3, config["joint_attention_dim"], generator=generator),
              "pooled": torch.randn(2, config["pooled_projection_dim"], generator=generator)}
    output = model(inputs["pictures"], encoder_hidden_states=inputs["tokens"], pooled_projections=inputs["pooled"],
                   timestep=inputs["times"]).sample
    saved = {k: v for k, v in model.config.items() if not k.startswith("_")} | {"_class_name": "SD3Transformer2DModel"}
    save(folder, model, saved, inputs, {"sample": output}, generator)


def unet(folder, generator, **changes):
    """The last class of the table is asked for too."""
    config = dict(sample_size=8, in_channels=3, out_channels=2, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2,
                  down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                  attention_head_dim=4) | changes
    model = UNet2DModel(**config)
    randomise(model, generator)
    side = config["sample_size"]
    inputs = {"pictures": torch.randn(2, config["in_channels"], side, side // 2, generator=generator),
              "times": torch.tensor([3.0, 731.0])}
    if classes := config.get("num_class_embeds"):
        inputs["classes"] = torch.tensor([1, classes - 1])
    output = model(inputs["pictures"], inputs["times"], class_labels=inputs.get("classes")).sample
    saved = {k: v for k, v in model.config.items() if not k.startswith("_")} | {"_class_name": "UNet2DModel"}
    save(folder, model, saved, inputs, {"sample": output}, generator)


def dit(folder, generator, **changes):
    """The row of no class is asked for too; eval(): in training diffusers drops classes by chance."""
    config = dict(num_attention_heads=2, attention_head_dim=6, in_channels=3, out_channels=2, num_layers=2, sample_size=8, patch_size=2,
                  num_embeds_ada_norm=5, norm_eps=1e-5, attention_bias=True) | changes
    model = DiTTransformer2DModel(**config).eval()
    randomise(model, generator)
    side = changes.get("sample_size", 8)
    inputs = {"pictures": torch.randn(2, config["in_channels"], side, side, generator=generator),
              "times": torch.tensor([3.0, 731.25]), "classes": torch.tensor([1, config["num_embeds_ada_norm"]])}
    output = model(inputs["pictures"], inputs["times"], class_labels=inputs["classes"]).sample
    with torch.no_grad():   # of another size: positions are stretched
        larger = torch.randn(2, config["in_channels"], side + config["patch_size"], side + config["patch_size"], generator=generator)
        inputs |= {"larger": larger, "wanted.larger": model(larger, inputs["times"], class_labels=inputs["classes"]).sample}
    saved = {k: v for k, v in model.config.items() if not k.startswith("_")} | {"_class_name": "DiTTransformer2DModel"}
    save(folder, model, saved, inputs, {"sample": output}, generator)


def unet_condition(folder, generator, **changes):
    config = dict(sample_size=8, in_channels=4, out_channels=4, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2,
                  down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                  attention_head_dim=2, cross_attention_dim=6) | changes
    model = UNet2DConditionModel(**config)
    randomise(model, generator)
    side = config["sample_size"]
    inputs = {"pictures": torch.randn(2, config["in_channels"], side, side // 2, generator=generator),
              "times": torch.tensor([3.0, 731.0]), "tokens": torch.randn(2, 5, config["cross_attention_dim"], generator=generator)}
    output = model(inputs["pictures"], inputs["times"], inputs["tokens"]).sample
    saved = {k: v for k, v in model.config.items() if not k.startswith("_")} | {"_class_name": "UNet2DConditionModel"}
    save(folder, model, saved, inputs, {"sample": output}, generator)


def autoencoder(folder, generator, **changes):
    config = dict(sample_size=8, in_channels=3, out_channels=3, latent_channels=2, block_out_channels=(4, 8), layers_per_block=1,
                  norm_num_groups=2, down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2) | changes
    model = AutoencoderKL(**config)
    randomise(model, generator)
    side, small = 8, 8 // 2 ** (len(config["block_out_channels"]) - 1)
    inputs = {"pictures": torch.randn(2, config["in_channels"], side, 2 * side, generator=generator),
              "latents": torch.randn(2, config["latent_channels"], small, 2 * small, generator=generator)}
    moments = model.encode(inputs["pictures"]).latent_dist
    outputs = {"mean": moments.mean, "log_variance": moments.logvar, "decoded": model.decode(inputs["latents"]).sample}
    saved = {k: v for k, v in model.config.items() if not k.startswith("_")} | {"_class_name": "AutoencoderKL"}
    save(folder, model, saved, inputs, outputs, generator)


def clip_text(folder, generator, **changes):
    config = CLIPTextConfig(**dict(vocab_size=40, hidden_size=8, intermediate_size=12, num_hidden_layers=2,
                                   num_attention_heads=2, max_position_embeddings=7, projection_dim=5, eos_token_id=39,
                                   bos_token_id=38, pad_token_id=37) | changes)
    model = CLIPTextModelWithProjection(config)
    randomise(model, generator)
    ids = torch.tensor([[38, 3, 17, 5, 39, 37, 37], [38, 39, 39, 39, 39, 39, 39], [38, 1, 2, 3, 4, 5, 39]])
    result = model(ids, output_hidden_states=True)
    saved = config.to_dict() | {"architectures": ["CLIPTextModelWithProjection"]}
    save(folder, model, saved, {"ids": ids}, {"last": result.last_hidden_state, "penultimate": result.hidden_states[-2],
                                              "pooled": result.text_embeds}, generator)


def main():
    root, generator = Path(sys.argv[1]), torch.Generator().manual_seed(1)
    joint_transformer(root / "sd3", generator)
    joint_transformer(root / "sd3_qk_norm", generator, qk_norm="rms_norm", patch_size=1, sample_size=4, pos_embed_max_size=9)
    clip_text(root / "clip", generator)
    clip_text(root / "clip_gelu_old_end", generator, hidden_act="gelu", eos_token_id=2, layer_norm_eps=0.1)
    unet(root / "unet_classes", generator, num_class_embeds=5)
    unet(root / "unet_ddpm", generator, in_channels=1, out_channels=1, block_out_channels=(4, 6, 8), norm_num_groups=2, norm_eps=0.01,
         down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
         layers_per_block=2, attention_head_dim=None, flip_sin_to_cos=False, freq_shift=1, downsample_padding=0,
         center_input_sample=True, mid_block_scale_factor=1.5)
    unet(root / "unet_plain", generator, add_attention=False, block_out_channels=(6,), norm_num_groups=3,
         down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",))
    dit(root / "dit", generator)
    dit(root / "dit_bare", generator, in_channels=1, out_channels=1, patch_size=1, sample_size=4, num_layers=3, num_attention_heads=3,
        attention_head_dim=4, attention_bias=False, norm_eps=0.1, num_embeds_ada_norm=1)
    autoencoder(root / "autoencoder", generator)
    autoencoder(root / "autoencoder_plain", generator, mid_block_add_attention=False, use_quant_conv=False, use_post_quant_conv=False,
                block_out_channels=(4, 6, 4), layers_per_block=2, latent_channels=3, in_channels=1, out_channels=1,
                down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3, scaling_factor=0.3, shift_factor=0.1)
    unet_condition(root / "unet_text", generator)
    unet_condition(root / "unet_text_linear", generator, in_channels=9, block_out_channels=(4, 6), attention_head_dim=[1, 3],
                   down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), use_linear_projection=True,
                   up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=2, cross_attention_dim=5,
                   transformer_layers_per_block=2, norm_eps=0.01, flip_sin_to_cos=False, freq_shift=1, downsample_padding=0,
                   center_input_sample=True, mid_block_scale_factor=1.5, upcast_attention=True)
    unet_condition(root / "unet_text_no_middle", generator, mid_block_type=None)


if __name__ == "__main__":
    main()
