"""Stable Diffusion and diffusers: tiny random pipelines that diffusers saved are read and exported; StableDiffusionPipeline draws the
same latents from the export, on the same noise, as Lathe did, and decodes them to the same pictures; original single files are read
and written tensor by tensor as diffusers' own converter has them; the card's commands run as they stand."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.loaders import single_file_utils
from PIL import Image
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
    unet = UNet2DConditionModel(sample_size=8, block_out_channels=(32, 64), layers_per_block=1, down_block_types=FIRST[0],
                                up_block_types=FIRST[1], cross_attention_dim=64, **network)
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


class StableDiffusion(Case):
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

    def test_exports_draw_the_same_in_diffusers(self):
        for name in KINDS:
            with self.subTest(name):
                source, output = self.save(name), self.folder / (name + "-export")
                self.assertTrue(self.json("export", source, "--format", "diffusers", "--output", output)["passed"])
                for part in ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"):
                    theirs, ours = weights(source / f"{part}.safetensors"), weights(output / f"{part}.safetensors")
                    self.assertEqual(set(theirs), set(ours))
                    for tensor in theirs:
                        self.assertTrue(torch.equal(theirs[tensor], ours[tensor]), tensor)
                print(f"{name}: largest difference of a latent after 10 steps {self.compare(output):.1e}")
                self.assertTrue(self.json("verify", output)["passed"])
                again = self.folder / (name + "-again")   # what diffusers saves of ours is read as the same
                quiet(StableDiffusionPipeline.from_pretrained(output)).save_pretrained(again)
                self.assertEqual(self.json("inspect", output)["parameters"], self.json("inspect", again)["parameters"])

    def test_pictures_are_decoded_as_diffusers_does(self):
        output = self.folder / "export"
        self.json("export", self.save("second"), "--format", "diffusers", "--output", output)
        reference = json.loads((output / "reference.json").read_text())
        self.json("sample", output, "--prompt", reference["prompts"][0]["text"], "--steps", reference["steps"], "--guidance", 3,
                  "--seed", reference["seed"], "--output", self.folder / "drawn")
        ours = torch.tensor(list(Image.open(self.folder / "drawn" / "00000.png").convert("RGB").tobytes())).view(32, 32, 3) / 255
        pipeline = quiet(StableDiffusionPipeline.from_pretrained(output))
        theirs = torch.tensor(self.draw(pipeline, reference, reference["prompts"][0], 3, "np")[0])
        self.assertLess((ours - theirs).abs().max().item(), 2 / 255)
        self.assertGreater(theirs.std().item(), 0.05)

    def test_the_card_runs_as_it_stands(self):
        output = self.folder / "export"
        self.json("export", self.save("first"), "--format", "diffusers", "--output", output)
        (block,) = re.findall(r"```python\n(.*?)```", (output / "README.md").read_text(), re.DOTALL)
        result = subprocess.run([sys.executable, "-c", block], cwd=output, capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        self.assertIn("picture.png (32, 32)", result.stdout)

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

    def test_a_base_is_tuned_whole(self):
        base = self.save("first")
        run = self.train("whole", base, "export=[{format: diffusers}]")
        losses = [line["loss"] for line in self.metrics("whole")]
        self.assertLess(sum(losses[-4:]), sum(losses[:4]))
        before, after = StableDiffusionPipeline.from_pretrained(base), StableDiffusionPipeline.from_pretrained(run / "export" / "diffusers")
        for part, moved in (("unet", True), ("vae", False), ("text_encoder", False)):
            theirs, ours = getattr(before, part).state_dict(), getattr(after, part).state_dict()
            self.assertEqual(set(theirs), set(ours))
            self.assertEqual(all(torch.equal(theirs[name], ours[name]) for name in theirs), not moved, part)
        self.compare_with_reference(run / "export" / "diffusers", after)

    def test_a_stopped_run_goes_on_bit_for_bit(self):
        """Latents are drawn by counters: nothing of them is kept in a checkpoint."""
        base = self.save("second")
        whole = self.train("straight", base)
        self.train("parts", base, extra=("--stop-after", 5))
        parts = self.train("parts", base)
        for file in ("unet/diffusion_pytorch_model.safetensors", "optimizer.safetensors"):
            a, b = (run / "checkpoints" / "step-00000012" / file for run in (whole, parts))
            self.assertEqual(a.read_bytes(), b.read_bytes(), file)

    def compare_with_reference(self, folder, pipeline):
        reference = json.loads((folder / "reference.json").read_text())
        entry = reference["prompts"][0]
        wanted = torch.tensor(entry["draws"][-1]["latents"]).view(1, 4, 8, 8)
        found = self.draw(quiet(pipeline), reference, entry, entry["draws"][-1]["guidance"])
        self.assertLess((found - wanted).abs().max().item(), 1e-3 * max(1, wanted.abs().max().item()))

    def test_an_adapter_of_linear_and_convolution_layers(self):
        base = self.save("first")
        run = self.train("adapted", base, "adapter={kind: lora, rank: 4, alpha: 6, "
                         "targets: [to_q, to_v, proj_in, conv1, downsamplers.0.conv]}",
                         "export=[{format: diffusers}, {format: peft}, {format: kohya}, {format: comfyui}]")
        merged = self.drawn_by(StableDiffusionPipeline.from_pretrained(run / "export" / "diffusers"))
        plain = StableDiffusionPipeline.from_pretrained(base)
        plain.scheduler = StableDiffusionPipeline.from_pretrained(run / "export" / "diffusers").scheduler
        self.assertGreater((self.drawn_by(plain) - merged).abs().max().item(), 1e-2)
        for name, file in (("peft", "pytorch_lora_weights.safetensors"), ("kohya", "lora.safetensors")):
            with self.subTest(name):
                plain.load_lora_weights(run / "export" / name, weight_name=file)
                found = self.drawn_by(plain)
                self.assertLess((found - merged).abs().max().item(), 1e-3 * max(1, merged.abs().max().item()))
                plain.unload_lora_weights()

    def test_single_files_are_diffusers_own(self):
        source, output = self.save("first"), self.folder / "one"
        self.assertTrue(self.json("export", source, "--format", "single_file", "--output", output)["passed"])
        self.assertTrue(self.json("verify", output)["passed"])
        ours = load_file(output / "stable-diffusion.safetensors")
        unet, vae = (json.loads((source / part / "config.json").read_text()) for part in ("unet", "vae"))
        found = {"unet": single_file_utils.convert_ldm_unet_checkpoint(dict(ours), unet),
                 "vae": single_file_utils.convert_ldm_vae_checkpoint(dict(ours), vae),
                 "text_encoder": {name.removeprefix("cond_stage_model.transformer.text_model."): value for name, value in ours.items()
                                  if name.startswith("cond_stage_model.transformer.")}}
        used = 0
        for part, file in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
            wanted = weights(source / part / f"{file}.safetensors")
            self.assertEqual(set(wanted), set(found[part]), part)
            for name, value in wanted.items():
                self.assertTrue(torch.equal(value, found[part][name].reshape(value.shape)), f"{part}.{name}")
            used += len(wanted)
        self.assertEqual(used, len(ours))   # N of N
        again = self.folder / "again"   # and back: the file is a base
        self.assertTrue(self.json("export", output / "stable-diffusion.safetensors", "--format", "diffusers", "--output", again)["passed"])
        self.compare(again)

    def test_bases_that_cannot_be_drawn_with_are_refused_by_name(self):
        folder = self.save("first")
        config = json.loads((folder / "unet" / "config.json").read_text())
        for key, value in (("addition_embed_type", "text_time"), ("in_channels", 9), ("cross_attention_dim", 32)):
            (folder / "unet" / "config.json").write_text(json.dumps(config | {key: value}))
            self.assertIn(key, self.lathe("inspect", folder, code=1)[1])


if __name__ == "__main__":
    import unittest
    unittest.main()
