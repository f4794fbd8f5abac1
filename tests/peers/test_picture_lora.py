"""Adapters of pictures in each spelling, read as their consumers read them: diffusers' load_lora_weights draws what the merged
folder draws; kohya's and ComfyUI's files, whose modules are SD3's own, are put through diffusers' converter of SD3 checkpoints,
which shares no table with the writer. Each gives the change of the weights that was trained."""
import json
import sys
from pathlib import Path

import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from safetensors import safe_open
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from picture_model import write_pipeline
from program import Case
from test_subject import SUBJECT

ABSENT = dict(vae=None, text_encoder_3=None, tokenizer_3=None)
RANK, ALPHA = 3, 5


class Native(dict):
    """A checkpoint in SD3's own names; what an adapter does not change is zero."""

    def pop(self, name):
        return super().pop(name, torch.zeros(6))


def change(tensors, module, down, up):
    a, b = tensors[f"{module}.{down}.weight"].double(), tensors[f"{module}.{up}.weight"].double()
    return b @ a, len(a)


def native_changes(tensors, down, up):
    """Every module of a file that stores alpha: alpha / rank times the product."""
    result = {}
    for name in tensors:
        if not name.endswith(".alpha"):
            continue
        module = name.removesuffix(".alpha")
        product, rank = change(tensors, module, down, up)
        result[module] = product * float(tensors[name]) / rank
    return result


class PictureLora(Case):
    def trained(self, kind="lora", formats=("diffusers", "peft", "kohya", "comfyui")):
        self.model = write_pipeline(self.folder / "model")
        (self.folder / "old.txt").write_text("a red circle\n")
        sets = [f"adapter={{kind: {kind}, rank: {RANK}, alpha: {ALPHA}, text_encoder: true}}", "train.max_steps=6", "prior.weight=0",
                "optimizer.learning_rate=5e-2", "export=[" + ", ".join(f"{{format: {name}}}" for name in formats) + "]"]
        self.lathe("train", self.recipe("run", SUBJECT), "--quiet", *(item for value in sets for item in ("--set", value)))
        self.exports = self.folder / "run" / "export"
        tensors = load_file(next((self.folder / "run" / "checkpoints").glob("step-*6")) / "pytorch_lora_weights.safetensors")
        modules = {name.rsplit(".lora_", 1)[0] for name in tensors if not name.startswith("text_encoder_2.")}
        scale = ALPHA / (RANK ** 0.5 if kind == "rslora" else RANK)
        return {module: scale * change(tensors, module, "lora_A", "lora_B")[0] for module in modules}

    def close(self, found, wanted, name):
        """A text's queries in the last block, which nobody reads, have no gradient: their change is nothing."""
        self.assertLessEqual(float((found - wanted).norm()), 1e-6 * float(wanted.norm()), name)

    def test_diffusers_draws_what_the_merged_folder_draws(self):
        for kind in ("lora", "rslora", "dora"):
            with self.subTest(kind), torch.no_grad():
                self.setUp()
                wanted = self.trained(kind, ("diffusers", "peft"))
                latents = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
                drawn = {}
                for name, folder in (("base", self.model), ("merged", self.exports / "diffusers"), ("loaded", self.model)):
                    pipeline = StableDiffusion3Pipeline.from_pretrained(folder, torch_dtype=torch.float32, **ABSENT)
                    pipeline.set_progress_bar_config(disable=True)
                    if name == "loaded":
                        pipeline.load_lora_weights(self.exports / "peft")
                    drawn[name] = pipeline("a red circle", latents=latents.clone(), guidance_scale=3, num_inference_steps=4, max_sequence_length=0,
                                           output_type="latent").images
                self.assertLess(float((drawn["loaded"] - drawn["merged"]).abs().max()), 1e-4)
                self.assertGreater(float((drawn["base"] - drawn["merged"]).abs().max()), 1e-2)
                if kind == "dora":
                    continue
                for module, delta in wanted.items():   # PEFT's own layers, with the scale that it gives them
                    part, path = module.split(".", 1)
                    layer = getattr(pipeline, part).get_submodule(path)
                    self.close(layer.get_delta_weight(layer.active_adapters[0]).double(), delta, module)

    def test_sd3s_own_names_give_the_same_change_of_every_weight(self):
        wanted = self.trained()
        original = load_file(next((self.folder / "run" / "checkpoints").glob("step-*6")) / "pytorch_lora_weights.safetensors")
        for spelling, down, up, network, encoders in (
                ("kohya", "lora_down", "lora_up", "lora_unet_", ("lora_te1_", "lora_te2_")),
                ("comfyui", "lora_A", "lora_B", "diffusion_model.", ("text_encoders.clip_l.transformer.", "text_encoders.clip_g.transformer."))):
            path = self.exports / spelling / "lora.safetensors"
            tensors = load_file(path)
            changes = native_changes(tensors, down, up)
            self.assertEqual(len(tensors), 3 * len(changes))   # nothing that a consumer would leave over
            names = {"context_embedder.weight": torch.zeros(16, 24)}
            native = {f"joint_blocks.{layer}.{block}.{part}": None for layer in range(2) for block in ("x_block", "context_block")
                      for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "adaLN_modulation.1")}
            spelled = {network + (name.replace(".", "_") if spelling == "kohya" else name): name for name in native}
            for module, delta in changes.items():
                if module in spelled:
                    names[spelled[module] + ".weight"] = delta
            converted = convert_sd3_transformer_checkpoint_to_diffusers(Native(names))
            seen = 0
            for module, delta in wanted.items():
                part, path_of = module.split(".", 1)
                if part == "transformer":
                    self.close(converted[path_of + ".weight"], delta, module)
                    seen += 1
                else:
                    for prefix in encoders:
                        self.close(changes[prefix + (path_of.replace(".", "_") if spelling == "kohya" else path_of)], delta, module)
            self.assertEqual(seen, 25)
            # Where a module stands alone its factors are stored as they are, and alpha is.
            alone = network + ("joint_blocks_0_x_block_mlp_fc1" if spelling == "kohya" else "joint_blocks.0.x_block.mlp.fc1")
            for ours, theirs in (("lora_A", down), ("lora_B", up)):
                self.assertTrue(torch.equal(original[f"transformer.transformer_blocks.0.ff.net.0.proj.{ours}.weight"], tensors[f"{alone}.{theirs}.weight"]))
            self.assertEqual(float(tensors[alone + ".alpha"]), ALPHA)
            with safe_open(path, "pt") as file:
                self.assertEqual(file.metadata()["modelspec.architecture"], "stable-diffusion-3/lora")

    def test_the_header_tells_diffusers_that_alpha_is_the_rank(self):
        self.trained(formats=("peft",))
        with safe_open(self.exports / "peft" / "pytorch_lora_weights.safetensors", "pt") as file:
            header = json.loads(file.metadata()["lora_adapter_metadata"])
        self.assertEqual((header["transformer.r"], header["transformer.lora_alpha"]), (RANK, RANK))
        self.assertEqual(len(header["text_encoder.target_modules"]), 12)


if __name__ == "__main__":
    import unittest

    unittest.main()
