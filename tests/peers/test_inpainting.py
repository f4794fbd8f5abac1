"""Stable Diffusion's inpainting networks (9 channels) and diffusers: StableDiffusionInpaintPipeline draws from the export what Lathe drew,
in latents and in pictures, under a mask; such a base is tuned under random masks, whole and by an adapter, and resumes bit for bit."""
import json
import sys
from pathlib import Path

import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from stable_diffusion_model import CAPTION, PipelineCase, make_pipeline, quiet


class Inpainting(PipelineCase):
    def base(self):
        """Its VAE draws no chance: variances of e^-30, so that the pipeline's latents of the masked picture are their mean."""
        folder = self.folder / "filling"
        if not folder.exists():
            parts = make_pipeline("filling", self.tokenizer()).components
            parts["vae"].quant_conv.weight[4:] = 0
            parts["vae"].quant_conv.bias[4:] = -100
            StableDiffusionInpaintPipeline(**parts, requires_safety_checker=False).save_pretrained(folder)
        return folder

    def filled(self, pipeline, reference, entry, guidance, **asked):
        noise = torch.tensor(entry["noise"]).reshape(1, 4, reference["height"], reference["width"])
        return quiet(pipeline)(entry["text"], latents=noise, guidance_scale=guidance, num_inference_steps=reference["steps"],
                               height=4 * reference["height"], width=4 * reference["width"], **asked).images

    def compare_filled(self, folder):
        pipeline = StableDiffusionInpaintPipeline.from_pretrained(folder)
        reference = json.loads((folder / "reference.json").read_text())
        side = 4 * reference["width"]
        ramp = ((torch.arange(side) + 0.5) / side).expand(1, 3, side, side)
        mask = (ramp[:, :1] < 0.5).float()
        self.assertIn("left half", reference["filled"])
        entry, largest, drawn = reference["prompts"][0], 0, []
        for draw in entry["draws"]:
            drawn.append(self.filled(pipeline, reference, entry, draw["guidance"], image=ramp, mask_image=mask, output_type="latent"))
            wanted = torch.tensor(draw["latents"]).reshape(drawn[-1].shape)
            largest = max(largest, (drawn[-1] - wanted).abs().max().item() / max(1, wanted.abs().max().item()))
        self.assertLess(largest, 1e-3)
        for other in (dict(image=1 - ramp, mask_image=mask), dict(image=ramp, mask_image=1 - mask)):   # both reach the network
            found = self.filled(pipeline, reference, entry, 1, output_type="latent", **other)
            self.assertGreater((found - drawn[0]).abs().max().item(), 0.02)
        return largest

    def test_exports_fill_in_the_same_in_diffusers(self):
        output = self.folder / "export"
        self.assertTrue(self.json("export", self.base(), "--format", "diffusers", "--output", output)["passed"])
        print(f"filled in: largest difference of a latent after 10 steps {self.compare_filled(output):.1e}")
        self.assertTrue(self.json("verify", output)["passed"])

    def test_pictures_are_filled_in_as_diffusers_does(self):
        output, pixels = self.folder / "export", torch.Generator().manual_seed(3)
        self.json("export", self.base(), "--format", "diffusers", "--output", output)
        Image.fromarray(torch.randint(0, 256, (32, 32, 3), generator=pixels, dtype=torch.uint8).numpy()).save(self.folder / "image.png")
        mask = Image.new("L", (32, 32), 0)
        mask.paste(255, (8, 4, 28, 20))
        mask.save(self.folder / "mask.png")
        reference = json.loads((output / "reference.json").read_text())
        entry = reference["prompts"][0]
        self.json("sample", output, "--prompt", entry["text"], "--image", self.folder / "image.png", "--mask", self.folder / "mask.png",
                  "--steps", reference["steps"], "--guidance", 3, "--seed", reference["seed"], "--output", self.folder / "drawn")
        ours = torch.tensor(list(Image.open(self.folder / "drawn" / "00000.png").convert("RGB").tobytes())).view(32, 32, 3) / 255
        pipeline = StableDiffusionInpaintPipeline.from_pretrained(output)
        theirs = torch.tensor(self.filled(pipeline, reference, entry, 3, image=Image.open(self.folder / "image.png"), mask_image=mask,
                                          output_type="np")[0])
        self.assertLess((ours - theirs).abs().max().item(), 2 / 255)
        self.assertGreater(theirs.std().item(), 0.05)
        refused = self.lathe("sample", output, "--prompt", CAPTION, "--image", self.folder / "image.png", "--output", self.folder / "no", code=2)
        self.assertIn("--mask", refused[1])

    def test_such_a_base_is_tuned_and_resumes_bit_for_bit(self):
        base = self.base()
        whole = self.train("straight", base, "export=[{format: diffusers}]")
        self.compare_filled(whole / "export" / "diffusers")
        self.train("parts", base, extra=("--stop-after", 5))
        parts = self.train("parts", base)
        name = Path("checkpoints") / "step-00000012" / "unet" / "diffusion_pytorch_model.safetensors"
        self.assertEqual((whole / name).read_bytes(), (parts / name).read_bytes())
        losses = [line["loss"] for line in self.metrics("straight")]
        self.assertLess(sum(losses[-4:]), sum(losses[:4]))
        adapted = self.train("adapted", base, "adapter={kind: lora, rank: 4, alpha: 6}", "export=[{format: diffusers}, {format: peft}]")
        self.compare_filled(adapted / "export" / "diffusers")
        wrong = self.lathe("sample", self.save("first"), "--prompt", CAPTION, "--image", base / "model_index.json", "--mask",
                           base / "model_index.json", "--output", self.folder / "no", code=2)
        self.assertIn("cannot fill in", wrong[1])


if __name__ == "__main__":
    import unittest
    unittest.main()
