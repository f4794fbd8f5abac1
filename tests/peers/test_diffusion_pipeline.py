"""Text-to-picture models and diffusers' StableDiffusion3Pipeline: MM-DiTs and text encoders drawn at random; tiny random pipelines that diffusers saved are read and exported,
and diffusers draws the same latents from the export, on the same noise, as Lathe did; its card's commands run as they stand."""
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer, PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_mm_dits
import check_unets
from program import LATHE, ROOT, Case

CAPTIONS = ["a red circle on the left", "a blue square at the bottom", "two green crosses in the centre", "été, œuvre"]
FLOW = FlowMatchEulerDiscreteScheduler(shift=1.5)
DDIM = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type="v_prediction",
                     clip_sample=False, timestep_spacing="trailing")
ABSENT = dict(vae=None, text_encoder_3=None, tokenizer_3=None)   # diffusers wants to hear it
# Network and text encoder: what the condition is cut or padded to, sizes, norms.
KINDS = {
    "padded": (dict(joint_attention_dim=40, sample_size=16, patch_size=4, pos_embed_max_size=4, qk_norm="rms_norm"), FLOW),
    "alone": (dict(joint_attention_dim=16, sample_size=8, patch_size=2, pos_embed_max_size=6, in_channels=1, out_channels=1), FLOW),
    "velocity": (dict(joint_attention_dim=32, sample_size=8, patch_size=2, pos_embed_max_size=4), DDIM),
}


def random_values(model, seed):
    """Every parameter random, those that diffusers starts at zero or one too."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        norm = parameter.dim() == 1 and "norm" in name and name.endswith("weight") and "linear" not in name
        parameter.copy_(1 + 0.3 * values if norm else values * (0.3 if parameter.dim() == 1 else parameter[0].numel() ** -0.5))
    return model.eval()


def byte_tokenizer(length):
    """Byte-level BPE that puts texts between begin and end, as CLIP's does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.train_from_iterator(CAPTIONS, trainers.BpeTrainer(vocab_size=320, special_tokens=["<|start|>", "<|end|>"],
                                                                initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|start|> $A <|end|>", special_tokens=[("<|start|>", 0), ("<|end|>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|start|>", eos_token="<|end|>", pad_token="<|end|>",
                                   model_max_length=length)


def make_pipeline(name, tokenizer):
    network, scheduler = KINDS[name]
    text = CLIPTextConfig(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
                          max_position_embeddings=tokenizer.model_max_length, projection_dim=12, bos_token_id=tokenizer.bos_token_id,
                          eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    network = {"in_channels": 3, "out_channels": 3, **network}
    transformer = SD3Transformer2DModel(num_layers=3, attention_head_dim=8, num_attention_heads=4, caption_projection_dim=32,
                                        pooled_projection_dim=24, **network)
    encoder = random_values(CLIPTextModelWithProjection(text), 2)
    return StableDiffusion3Pipeline(transformer=random_values(transformer, 1), scheduler=scheduler, text_encoder=encoder,
                                    tokenizer=tokenizer, text_encoder_2=encoder, tokenizer_2=tokenizer, **ABSENT)


class DiffusionPipeline(Case):
    def setUp(self):
        super().setUp()
        torch.set_grad_enabled(False)
        self.addCleanup(torch.set_grad_enabled, True)   # other tests of this process learn

    def draw(self, pipeline, reference, entry, guidance):
        shape = (1, reference["channels"], reference["height"], reference["width"])
        pipeline.set_progress_bar_config(disable=True)
        return pipeline(entry["text"], latents=torch.tensor(entry["noise"]).reshape(shape), guidance_scale=guidance,
                        num_inference_steps=reference["steps"], max_sequence_length=0, output_type="latent").images

    def compare(self, folder):
        """diffusers draws what reference.json says from the folder alone; returns the largest difference."""
        pipeline = StableDiffusion3Pipeline.from_pretrained(folder, torch_dtype=torch.float32, **ABSENT)
        reference = json.loads((folder / "reference.json").read_text())
        largest, drawn = 0, []
        for entry in reference["prompts"]:
            ids = pipeline.tokenizer(entry["text"], padding="max_length", truncation=True)["input_ids"]
            self.assertEqual(ids, entry["ids"])
            self.assertEqual(sorted(draw["guidance"] for draw in entry["draws"]), [1, 3])
            for draw in entry["draws"]:
                latents = self.draw(pipeline, reference, entry, draw["guidance"])
                wanted = torch.tensor(draw["latents"]).reshape(latents.shape)
                scale = max(1, wanted.abs().max().item())
                largest = max(largest, (latents - wanted).abs().max().item() / scale)
                drawn.append(latents)
        self.assertLess(largest, 1e-3)
        # The text and the guidance reach the picture: far more than the tolerance.
        for a, b in ((0, 1), (0, 2)):
            self.assertGreater((drawn[a] - drawn[b]).abs().max().item(), 0.05)
        return largest

    def check_kind(self, name, tokenizer):
        source, output = self.folder / name, self.folder / (name + "-export")
        pipeline = make_pipeline(name, tokenizer)
        pipeline.save_pretrained(source)
        result = self.json("export", source, "--format", "diffusers", "--output", output)
        self.assertTrue(result["passed"])
        for part in ("transformer/diffusion_pytorch_model", "text_encoder/model", "text_encoder_2/model"):
            theirs, ours = load_file(source / f"{part}.safetensors"), load_file(output / f"{part}.safetensors")
            self.assertEqual(set(theirs), set(ours))
            for tensor in theirs:
                if tensor == "pos_embed.pos_embed":   # computed anew
                    torch.testing.assert_close(ours[tensor], theirs[tensor], atol=2e-6, rtol=0)
                else:
                    self.assertTrue(torch.equal(theirs[tensor], ours[tensor]), tensor)
        print(f"{name}: largest difference of a latent after 10 steps {self.compare(output):.1e}")
        self.assertTrue(self.json("verify", output)["passed"])
        return output

    def clip_tokenizer(self, length):
        folder = self.folder / "clip"   # a copy: the library caches beside the files
        if not folder.exists():
            shutil.copytree(ROOT / "tests" / "unit" / "data" / "tokenizers" / "fixtures" / "clip_folder", folder)
        return CLIPTokenizer.from_pretrained(folder, model_max_length=length)

    def test_drawn_networks_give_the_same_outputs_and_gradients(self):
        for kind in check_mm_dits.KINDS:
            folders = check_mm_dits.draw_all(self.folder / kind, kind)
            code, lines, text = check_unets.compare(self.folder / kind, Path(LATHE).parent / "tests" / "test_parity", kind)
            self.assertEqual(code, 0, text[-6000:])
            self.assertEqual(len(lines), len(folders))

    def test_latents_are_diffusers_latents_for_every_kind(self):
        for name in KINDS:
            with self.subTest(name):
                self.check_kind(name, byte_tokenizer(16) if name == "velocity" else self.clip_tokenizer(16))

    def test_the_card_runs_as_it_stands(self):
        output = self.check_kind("padded", self.clip_tokenizer(12))
        blocks = re.findall(r"```python\n(.*?)```", (output / "README.md").read_text(), re.DOTALL)
        self.assertEqual(len(blocks), 1)
        result = subprocess.run([sys.executable, "-c", blocks[0]], cwd=output, capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        self.assertIn("picture.png (16, 16, 3)", result.stdout)
        self.lathe("sample", output, "--prompt", "a red circle on the left", "--guidance", "3", "--output", self.folder / "drawn")
        self.assertTrue((self.folder / "drawn" / "00000.png").exists())

    def test_weights_in_16_bits(self):
        source = self.folder / "source"
        make_pipeline("padded", self.clip_tokenizer(16)).save_pretrained(source)
        for dtype in ("bf16", "fp16"):
            output = self.folder / dtype
            result = self.json("export", source, "--format", "diffusers", "--dtype", dtype, "--output", output)
            self.assertGreater(result["rounding_error"], 0)
            self.compare(output)   # both sides compute the rounded weights in fp32


if __name__ == "__main__":
    import unittest
    unittest.main()
