"""DiTs and diffusers: networks drawn at random are diffusers' own, outputs and gradients; an exported transformer, loaded by diffusers
and stepped by its schedulers with guidance by hand, draws the same pictures on the same noise; cards' commands run as they stand."""
import json
import re
import subprocess
import sys
from pathlib import Path

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DiTTransformer2DModel, FlowMatchEulerDiscreteScheduler

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_dits
import check_unets
from program import LATHE, Case

SCHEDULERS = {
    "epsilon": DDPMScheduler(beta_schedule="linear"),
    "velocity": DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction", clip_sample=False,
                              timestep_spacing="trailing"),
    "flow": FlowMatchEulerDiscreteScheduler(shift=1.5),
}
CLASSES = ["cat", "dog", "hen"]


class DiTs(Case):
    def test_drawn_networks_give_the_same_outputs_and_gradients(self):
        folders = check_dits.draw_all(self.folder / "drawn")
        code, lines, text = check_unets.compare(self.folder / "drawn", Path(LATHE).parent / "tests" / "test_parity", "dit")
        self.assertEqual(code, 0, text[-6000:])
        self.assertEqual(len(lines), len(folders))

    def exported(self, folder, scheduler):
        """A tiny random one, its parts as diffusers writes them, exported by Lathe."""
        network = DiTTransformer2DModel(num_attention_heads=2, attention_head_dim=8, in_channels=3, num_layers=2, sample_size=16,
                                        patch_size=4, num_embeds_ada_norm=len(CLASSES))
        check_unets.make_diffusion_goldens.randomise(network, torch.Generator().manual_seed(3))
        network.save_pretrained(folder / "transformer")
        scheduler.save_pretrained(folder / "scheduler")
        (folder / "model_index.json").write_text(json.dumps({
            "_class_name": "DiTPipeline", "_diffusers_version": "0.42.1", "id2label": {str(i): name for i, name in enumerate(CLASSES)},
            "transformer": ["diffusers", "DiTTransformer2DModel"], "scheduler": ["diffusers", type(scheduler).__name__],
            "vae": [None, None]}))
        output = folder.with_name(folder.name + "-export")
        self.assertTrue(self.json("export", folder, "--format", "diffusers", "--output", output)["passed"])
        return output

    @torch.no_grad()
    def draw(self, folder, entry, reference, guidance):
        kind = getattr(sys.modules["diffusers"], json.loads((folder / "model_index.json").read_text())["scheduler"][1])
        network, steps = DiTTransformer2DModel.from_pretrained(folder, subfolder="transformer"), kind.from_pretrained(folder, subfolder="scheduler")
        steps.set_timesteps(reference["steps"])
        x = torch.tensor(entry["noise"]).view(1, reference["channels"], reference["height"], reference["width"])
        for t in steps.timesteps:
            said, free = (network(x, t[None], class_labels=torch.tensor([row])).sample for row in (*entry["ids"], len(CLASSES)))
            x = steps.step(free + guidance * (said - free), t, x).prev_sample
        return x

    def test_exports_draw_the_same_in_diffusers(self):
        for name, scheduler in SCHEDULERS.items():
            with self.subTest(name=name):
                folder = self.exported(self.folder / name, scheduler)
                reference = json.loads((folder / "reference.json").read_text())
                self.assertEqual([entry["text"] for entry in reference["prompts"]], CLASSES)
                compared = 0
                for entry in reference["prompts"]:
                    for drawn in entry["draws"]:
                        found = self.draw(folder, entry, reference, drawn["guidance"])
                        wanted = torch.tensor(drawn["latents"]).view(found.shape)
                        self.assertLess((found - wanted).abs().max().item(), 1e-3 * max(1, wanted.abs().max().item()))
                        compared += 1
                self.assertEqual(compared, 2 * len(CLASSES))   # without guidance and with it
                first = reference["prompts"][0]   # the same noise would be another picture of another class
                other = self.draw(folder, {**first, "ids": [2]}, reference, 1)
                self.assertGreater((other.flatten() - torch.tensor(first["draws"][0]["latents"])).abs().max().item(), 0.05)

    def test_cards_run_as_they_stand(self):
        folder = self.exported(self.folder / "card", SCHEDULERS["velocity"])
        (block,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
        result = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        self.assertIn("picture.png (16, 16, 3)", result.stdout)


if __name__ == "__main__":
    import unittest
    unittest.main()
