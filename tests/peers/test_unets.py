"""UNets and diffusers: networks drawn at random are diffusers' own, outputs and gradients; exported folders draw the same pictures
there, on the same noise, as Lathe did, and their cards' commands run as they stand."""
import json
import re
import subprocess
import sys
from pathlib import Path

import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, FlowMatchEulerDiscreteScheduler, UNet2DModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_unets
from program import LATHE, Case

SCHEDULERS = {
    "epsilon": DDPMScheduler(beta_schedule="linear"),
    "velocity": DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False,
                              timestep_spacing="trailing"),
    "flow": FlowMatchEulerDiscreteScheduler(shift=1.5),
}


class UNets(Case):
    def test_drawn_networks_give_the_same_outputs_and_gradients(self):
        for kind, kinds in (("unet", ("unet", "unet-text")), ("autoencoder", ("autoencoder",))):
            folders = check_unets.draw_all(self.folder / kind, kinds=kinds)
            code, lines, text = check_unets.compare(self.folder / kind, Path(LATHE).parent / "tests" / "test_parity", kind)
            self.assertEqual(code, 0, text[-6000:])
            self.assertEqual(len(lines), len(folders))

    def pipeline(self, folder, scheduler, classes):
        """A tiny random one, as diffusers writes it, exported by Lathe."""
        unet = UNet2DModel(sample_size=16, in_channels=3, out_channels=3, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
                           down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
                           attention_head_dim=4, num_class_embeds=classes)
        check_unets.make_diffusion_goldens.randomise(unet, torch.Generator().manual_seed(3))
        DDPMPipeline(unet=unet, scheduler=scheduler).save_pretrained(folder)
        output = folder.with_name(folder.name + "-export")
        self.assertTrue(self.json("export", folder, "--format", "diffusers", "--output", output)["passed"])
        return output

    @torch.no_grad()
    def draw(self, folder, entry, reference):
        """The steps of DDPMPipeline, which cannot be told a class."""
        index = json.loads((folder / "model_index.json").read_text())
        scheduler = {"DDIMScheduler": DDIMScheduler, "FlowMatchEulerDiscreteScheduler": FlowMatchEulerDiscreteScheduler}[index["scheduler"][1]]
        unet, steps = UNet2DModel.from_pretrained(folder, subfolder="unet"), scheduler.from_pretrained(folder, subfolder="scheduler")
        steps.set_timesteps(reference["steps"])
        x = torch.tensor(entry["noise"]).view(1, reference["channels"], reference["height"], reference["width"])
        for t in steps.timesteps:
            said = unet(x, t, class_labels=torch.tensor(entry["ids"]) if entry["ids"] else None).sample
            x = steps.step(said, t, x).prev_sample
        return x

    def test_exports_draw_the_same_in_diffusers(self):
        for name, scheduler in SCHEDULERS.items():
            for classes in (None, 3):
                with self.subTest(name=name, classes=classes):
                    folder = self.pipeline(self.folder / f"{name}-{classes}", scheduler, classes)
                    reference = json.loads((folder / "reference.json").read_text())
                    drawn = []
                    for entry in reference["prompts"]:
                        drawn.append(self.draw(folder, entry, reference))
                        wanted = torch.tensor(entry["draws"][0]["latents"]).view(drawn[-1].shape)
                        self.assertLess((drawn[-1] - wanted).abs().max().item(), 1e-3 * max(1, wanted.abs().max().item()))
                    self.assertEqual(len(drawn), classes or 1)
                    if classes:   # the same noise would be another picture of another class
                        other = self.draw(folder, {**reference["prompts"][0], "ids": [2]}, reference)
                        self.assertGreater((other - drawn[0]).abs().max().item(), 0.05)
                    else:
                        pipeline = DDPMPipeline.from_pretrained(folder)
                        pipeline.set_progress_bar_config(disable=True)
                        self.assertEqual(pipeline(num_inference_steps=3).images[0].size, (16, 16))

    def test_cards_run_as_they_stand(self):
        for classes in (None, 3):
            folder = self.pipeline(self.folder / f"card-{classes}", SCHEDULERS["velocity"], classes)
            (block,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
            result = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, timeout=300)
            self.assertEqual(result.returncode, 0, result.stderr[-3000:])
            self.assertIn("picture.png (16, 16, 3)", result.stdout)


if __name__ == "__main__":
    import unittest
    unittest.main()
