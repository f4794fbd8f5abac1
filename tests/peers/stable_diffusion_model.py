"""Tiny random Stable Diffusion pipelines as diffusers saves them, and what the tests of them share."""
import json
import shutil
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from make_diffusion_goldens import randomise
from program import ROOT, Case

CLIP_FOLDER = ROOT / "tests" / "unit" / "data" / "tokenizers" / "fixtures" / "clip_folder"
SCALED = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
FIRST = ("CrossAttnDownBlock2D", "DownBlock2D"), ("UpBlock2D", "CrossAttnUpBlock2D")
# UNet, text encoder, VAE, scheduler: as Stable Diffusion 1 has them, and as 2.1 does.
KINDS = {
    "first": (dict(attention_head_dim=8), dict(hidden_act="quick_gelu"), {},
              PNDMScheduler(skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False, **SCALED)),
    "second": (dict(attention_head_dim=[2, 4], use_linear_projection=True), dict(hidden_act="gelu"), dict(layers_per_block=2),
               DDIMScheduler(prediction_type="v_prediction", steps_offset=1, set_alpha_to_one=False, clip_sample=False, **SCALED)),
}
KINDS["filling"] = (dict(attention_head_dim=8, in_channels=9), *KINDS["first"][1:])
# Heads of 64 channels, as readers of version 2's single file take them.
KINDS["second_file"] = (dict(attention_head_dim=[1, 2], use_linear_projection=True, block_out_channels=(64, 128)), *KINDS["second"][1:])

RECIPE = """\
name: tuned
directory: {directory}
task: diffusion
model: {{path: {base}}}
data: {{train: [{{generate: shapes, count: 12}}], resolution: [32], cache: {cache}}}
diffusion: {{sampling: {{steps: 3, count: 2, guidance: 2}}}}
optimizer: {{name: adamw, learning_rate: 2e-3}}
train: {{max_steps: 12, global_batch_size: 4, precision: fp32, threads: 1, seed: 5}}
checkpoint: {{every: 6}}
"""
CAPTION = "a red circle on the left"


def make_pipeline(name, tokenizer):
    network, text, vae, scheduler = KINDS[name]
    generator = torch.Generator().manual_seed(5)
    unet = UNet2DConditionModel(sample_size=8, layers_per_block=1, down_block_types=FIRST[0], up_block_types=FIRST[1], cross_attention_dim=64,
                                **dict(block_out_channels=(32, 64)) | network)
    encoder = CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=40, num_hidden_layers=2,
                                           num_attention_heads=1, max_position_embeddings=tokenizer.model_max_length, eos_token_id=tokenizer.eos_token_id, **text))
    autoencoder = AutoencoderKL(sample_size=32, block_out_channels=(32, 64, 32), latent_channels=4,
                                **dict(layers_per_block=1) | vae, down_block_types=("DownEncoderBlock2D",) * 3,
                                up_block_types=("UpDecoderBlock2D",) * 3)
    for model in (unet, encoder, autoencoder):
        randomise(model, generator)
        model.eval()
    return StableDiffusionPipeline(unet=unet, vae=autoencoder, text_encoder=encoder, tokenizer=tokenizer, scheduler=scheduler,
                                   safety_checker=None, feature_extractor=None, requires_safety_checker=False)


def weights(path):
    """transformers 5 saves a CLIPTextModel without the "text_model." that led every name before."""
    return {name.removeprefix("text_model."): value for name, value in load_file(path).items()}


def quiet(pipeline):
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


class PipelineCase(Case):
    def setUp(self):
        super().setUp()
        torch.set_grad_enabled(False)
        self.addCleanup(torch.set_grad_enabled, True)   # other tests of this process learn

    def tokenizer(self):
        folder = self.folder / "clip"   # a copy: the library caches beside the files
        if not folder.exists():
            shutil.copytree(CLIP_FOLDER, folder)
        return CLIPTokenizer.from_pretrained(folder, model_max_length=12)

    def save(self, name):
        folder = self.folder / name
        make_pipeline(name, self.tokenizer()).save_pretrained(folder)
        return folder

    def draw(self, pipeline, reference, entry, guidance, kind="latent"):
        noise = torch.tensor(entry["noise"]).reshape(1, reference["channels"], reference["height"], reference["width"])
        return pipeline(entry["text"], latents=noise, guidance_scale=guidance, num_inference_steps=reference["steps"],
                        height=4 * reference["height"], width=4 * reference["width"], output_type=kind).images

    def compare(self, folder):
        """diffusers draws what reference.json says from the folder alone."""
        pipeline = quiet(StableDiffusionPipeline.from_pretrained(folder))
        reference = json.loads((folder / "reference.json").read_text())
        drawn, largest = [], 0
        for entry in reference["prompts"]:
            self.assertEqual(pipeline.tokenizer(entry["text"], padding="max_length", truncation=True)["input_ids"], entry["ids"])
            self.assertEqual([draw["guidance"] for draw in entry["draws"]], [1, 3])
            for draw in entry["draws"]:
                drawn.append(self.draw(pipeline, reference, entry, draw["guidance"]))
                wanted = torch.tensor(draw["latents"]).reshape(drawn[-1].shape)
                largest = max(largest, (drawn[-1] - wanted).abs().max().item() / max(1, wanted.abs().max().item()))
        self.assertLess(largest, 1e-3)
        for a, b in ((0, 1), (0, 2)):   # guidance and text reach the picture
            self.assertGreater((drawn[a] - drawn[b]).abs().max().item(), 0.05)
        return largest

    def train(self, name, base, *sets, extra=()):
        path = self.folder / f"{name}.yaml"
        path.write_text(RECIPE.format(directory=json.dumps(str(self.folder / name)), base=json.dumps(str(base)),
                                      cache=json.dumps(str(self.folder / "cache"))))
        self.lathe("train", path, "--quiet", *extra, *(item for value in sets for item in ("--set", value)))
        return self.folder / name

    def drawn_by(self, pipeline):
        """Latents, whatever the program that made the pipeline."""
        return quiet(pipeline)(CAPTION, latents=torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)), height=32, width=32,
                               num_inference_steps=4, guidance_scale=2, output_type="latent").images

    def compare_with_reference(self, folder, pipeline):
        reference = json.loads((folder / "reference.json").read_text())
        entry = reference["prompts"][0]
        wanted = torch.tensor(entry["draws"][-1]["latents"]).view(1, 4, 8, 8)
        found = self.draw(quiet(pipeline), reference, entry, entry["draws"][-1]["guidance"])
        self.assertLess((found - wanted).abs().max().item(), 1e-3 * max(1, wanted.abs().max().item()))
