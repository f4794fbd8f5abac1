"""Textual inversion of Stable Diffusion and diffusers: load_textual_inversion on the base draws the pictures of the pipeline that has
the word in it, and of Lathe; one vector and several, from both files."""
import json
import sys
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
from stable_diffusion_model import PipelineCase, quiet

EXPORTS = "export=[{format: diffusers}, {format: textual_inversion}]"


class NewWords(PipelineCase):
    def train_word(self, name, base, vectors):
        run = self.train(name, base, f"textual_inversion={{token: <wug>, initialise_from: red circle, vectors: {vectors}}}",
                         "data.trigger=<wug>", "optimizer.learning_rate=0.05", EXPORTS)
        return run / "export"

    def latents(self, pipeline, reference, entry, guidance):
        """The word is one: a prompt with it is converted by the pipeline itself."""
        return self.draw(quiet(pipeline), reference, entry, guidance)

    def test_diffusers_loads_the_word_and_draws_the_same(self):
        base = self.save("first")
        for vectors in (1, 3):
            with self.subTest(vectors):
                exports = self.train_word(f"word{vectors}", base, vectors)
                alone = exports / "textual_inversion"
                learned = load_file(alone / "learned_embeds.safetensors")["<wug>"]
                self.assertEqual(learned.shape, (vectors, 64))
                self.assertTrue(torch.equal(load_file(alone / "wug.safetensors")["emb_params"], learned))
                reference = json.loads((exports / "diffusers" / "reference.json").read_text())
                entry = reference["prompts"][0]
                self.assertIn("<wug>", entry["text"])
                merged = StableDiffusionPipeline.from_pretrained(exports / "diffusers")
                for file, token in (("learned_embeds.safetensors", None), ("wug.safetensors", "<wug>")):
                    pipeline = StableDiffusionPipeline.from_pretrained(base)
                    pipeline.scheduler = merged.scheduler
                    plain = self.latents(pipeline, reference, entry, 1)
                    pipeline.load_textual_inversion(alone, weight_name=file, token=token)
                    for draw in entry["draws"]:
                        ours = torch.tensor(draw["latents"]).view(1, 4, 8, 8)
                        for theirs in (pipeline, merged):
                            found = self.latents(theirs, reference, entry, draw["guidance"])
                            self.assertLess((found - ours).abs().max().item(), 1e-3 * max(1, ours.abs().max().item()))
                    self.assertGreater((self.latents(pipeline, reference, entry, 1) - plain).abs().max().item(), 1e-2)


if __name__ == "__main__":
    import unittest
    unittest.main()
