"""Stable Diffusion and diffusers: tiny random pipelines that diffusers saved are read and exported; StableDiffusionPipeline draws the
same latents from the export, on the same noise, as Lathe did, and decodes them to the same pictures; original single files are read
and written tensor by tensor as diffusers' own converter has them; the card's commands run as they stand."""
import json
import re
import subprocess
import sys
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders import single_file_utils
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPTextModel

sys.path.insert(0, str(Path(__file__).parent))
from stable_diffusion_model import PipelineCase, quiet, weights


class StableDiffusion(PipelineCase):
    def test_exports_draw_the_same_in_diffusers(self):
        for name in ("first", "second"):
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

    def loaded_adapter(self, base, run):
        """Each spelling, read by diffusers on the base, draws what the merged export draws."""
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

    def test_an_adapter_of_linear_and_convolution_layers(self):
        base = self.save("first")
        self.loaded_adapter(base, self.train("adapted", base, "adapter={kind: lora, rank: 4, alpha: 6, "
                                             "targets: [to_q, to_v, proj_in, conv1, downsamplers.0.conv]}",
                                             "export=[{format: diffusers}, {format: peft}, {format: kohya}, {format: comfyui}]"))

    def test_an_adapter_of_the_text_encoder_too(self):
        base = self.save("second")
        self.loaded_adapter(base, self.train("both", base, "adapter={kind: lora, rank: 4, alpha: 6, text_encoder: true}",
                                             "optimizer.learning_rate=0.02", "export=[{format: diffusers}, {format: peft}, {format: kohya}]"))

    def test_single_files_are_diffusers_own(self):
        for name in ("first", "second_file"):
            with self.subTest(name):
                self.single_file(name)

    def text_of(self, name, ours, source):
        if name == "first":
            prefix = "cond_stage_model.transformer."
            return {key.removeprefix(prefix + "text_model."): value for key, value in ours.items() if key.startswith(prefix)}
        encoder = CLIPTextModel.from_pretrained(source / "text_encoder")
        found = single_file_utils.convert_open_clip_checkpoint(encoder, ours, prefix="cond_stage_model.model.")
        return {key.removeprefix("text_model."): value for key, value in found.items()}

    def single_file(self, name):
        source, output = self.save(name), self.folder / (name + "-one")
        self.assertTrue(self.json("export", source, "--format", "single_file", "--output", output)["passed"])
        self.assertTrue(self.json("verify", output)["passed"])
        ours = load_file(output / "stable-diffusion.safetensors")
        unet, vae = (json.loads((source / part / "config.json").read_text()) for part in ("unet", "vae"))
        found = {"unet": single_file_utils.convert_ldm_unet_checkpoint(dict(ours), unet),
                 "vae": single_file_utils.convert_ldm_vae_checkpoint(dict(ours), vae), "text_encoder": self.text_of(name, ours, source)}
        used = 0
        for part, file in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
            wanted = weights(source / part / f"{file}.safetensors")
            self.assertEqual(set(wanted), set(found[part]), part)
            for tensor, value in wanted.items():
                self.assertTrue(torch.equal(value, found[part][tensor].reshape(value.shape)), f"{part}.{tensor}")
            used += len(wanted)
        stacked = sum(key.endswith((".in_proj_weight", ".in_proj_bias")) for key in ours)   # each is three of theirs
        self.assertEqual(used, len(ours) + 2 * stacked)   # N of N
        self.assertEqual(stacked, 0 if name == "first" else 4)
        again = self.folder / (name + "-again")   # and back: the file is a base
        self.assertTrue(self.json("export", output / "stable-diffusion.safetensors", "--format", "diffusers", "--output", again)["passed"])
        self.compare(again)
        if name != "first":
            self.assertEqual(json.loads((again / "scheduler" / "scheduler_config.json").read_text())["prediction_type"], "v_prediction")

    def test_bases_that_cannot_be_drawn_with_are_refused_by_name(self):
        folder = self.save("first")
        config = json.loads((folder / "unet" / "config.json").read_text())
        for key, value in (("addition_embed_type", "text_time"), ("in_channels", 8), ("cross_attention_dim", 32)):
            (folder / "unet" / "config.json").write_text(json.dumps(config | {key: value}))
            self.assertIn(key, self.lathe("inspect", folder, code=1)[1])


if __name__ == "__main__":
    import unittest
    unittest.main()
