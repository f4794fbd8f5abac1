"""stable-diffusion.cpp beside lathe: a random Stable Diffusion 1 of the published sizes (the only ones that it has) as one file, as a
folder, with an adapter in each spelling and with a new word: every tensor is used, and the pictures are diffusers'. And which sizes it wants
of an MM-DiT in SD3's layout. Takes 16 GB of memory and 9 GB of disk."""
import base64
import gc
import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "end_to_end"))
from built_from_source import python_of
from picture_model import byte_alphabet, write_pipeline
from program import Case

GIGABYTE = 1 << 30
SEED, SIDE, STEPS = 7, 64, 2
# Single letters: their ids need no merges, so stable-diffusion.cpp's own vocabulary gives the same.
PROMPTS = ("a x", 1.0), ("b q w", 1.0), ("a x", 3.0)
# Every kind of linear layer and convolution of the UNet's blocks and of the text encoder.
TARGETS = ("to_q, to_k, to_v, to_out.0, proj, net.2, proj_in, proj_out, conv, conv1, conv2, conv_shortcut, time_emb_proj, "
           "q_proj, k_proj, v_proj, out_proj, fc1, fc2")
RECIPE = """\
name: {name}
directory: {directory}
task: diffusion
model: {{path: {base}}}
{learned}
data: {{train: [{{generate: shapes, count: 2}}], resolution: [64], cache: {cache}}}
diffusion: {{sampling: {{steps: 1, count: 1, guidance: 1}}}}
optimizer: {{name: adamw, learning_rate: 2e-2}}
train: {{max_steps: 1, global_batch_size: 1, precision: fp32, threads: 1, seed: 5}}
export: [{exports}]
"""
ADAPTER = f"adapter: {{kind: lora, rank: 4, alpha: 6, text_encoder: true, targets: [{TARGETS}]}}"
WORD = "textual_inversion: {token: <wug>, initialise_from: x, vectors: 2}"


def write_tokenizer(folder):
    """CLIP's letters in their places, its 49,408 rows, and no merges."""
    folder.mkdir(parents=True)
    letters = byte_alphabet()
    words = letters + [letter + "</w>" for letter in letters]
    words += [f"<filler {i}>" for i in range(49406 - len(words))] + ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def write_base(folder):
    """Stable Diffusion 1 in fp16, trained on nothing; pictures of 64 x 64 are its usual size."""
    torch.manual_seed(3)
    unet = UNet2DConditionModel(sample_size=SIDE // 8, cross_attention_dim=768)
    text = CLIPTextModel(CLIPTextConfig(vocab_size=49408, hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
                                        max_position_embeddings=77, hidden_act="quick_gelu", bos_token_id=49406, eos_token_id=49407))
    vae = AutoencoderKL(sample_size=512, block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
                        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    scheduler = EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    StableDiffusionPipeline(unet=unet.half(), vae=vae.half(), text_encoder=text.half(), tokenizer=write_tokenizer(folder / "words"),
                            scheduler=scheduler, safety_checker=None, feature_extractor=None,
                            requires_safety_checker=False).save_pretrained(folder)


def drawn_by_diffusers(folder, prompts=PROMPTS, word=None):
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, safety_checker=None)
    if word:
        pipeline.load_textual_inversion(word)
    pipeline.scheduler = EulerDiscreteScheduler.from_config(pipeline.scheduler.config, timestep_spacing="linspace")
    pipeline.set_progress_bar_config(disable=True)
    pictures = []
    for prompt, guidance in prompts:
        noise = torch.randn(1, 4, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(SEED))
        with torch.no_grad():
            drawn = pipeline(prompt, latents=noise, guidance_scale=guidance, num_inference_steps=STEPS, height=SIDE, width=SIDE, output_type="pt")
        pictures.append(255 * drawn.images[0].permute(1, 2, 0))
    del pipeline
    gc.collect()   # four gigabytes, which the training wants
    return pictures


def draws(lora=None, prompts=PROMPTS):
    """As drawn_by_diffusers; torch's own noise."""
    return [{"prompt": prompt + (f"<lora:{lora}:1>" if lora else ""), "cfg_scale": guidance, "width": SIDE, "height": SIDE, "seed": SEED,
             "sample_steps": STEPS, "sample_method": "euler", "scheduler": "discrete"} for prompt, guidance in prompts]


class StableDiffusionCpp(Case):
    @classmethod
    def setUpClass(cls):
        cls.python = python_of("stable_diffusion_cpp")
        cls.place = Path(tempfile.mkdtemp(prefix="lathe é "))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.place, ignore_errors=True)

    def ask(self, draws=(), **model):
        """What it says of loading the model, its pictures and what it says of each."""
        request = {"model": {"rng_type": "cpu", "sampler_rng_type": "cpu", **model}, "draws": list(draws)}
        result = subprocess.run([self.python, ROOT / "tests" / "peers" / "run_stable_diffusion_cpp.py"], input=json.dumps(request),
                                capture_output=True, text=True, timeout=1800)
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        answer = json.loads(result.stdout)
        answer["pictures"] = [torch.frombuffer(bytearray(base64.b64decode(data)), dtype=torch.uint8).view(height, width, 3).float()
                              for height, width, data in answer["pictures"]]
        return answer

    def complaints(self, log):
        """Lines of what is unknown, missing or left; it asks every folder for a second text encoder."""
        return [text for level, text in log if (level in ("warn", "error") or "unknown tensor" in text) and "text_encoder_2" not in text]

    def used_whole(self, answer, tensors):
        """All tensors are placed: it has as many as the files, and misses and leaves none."""
        self.assertTrue(answer["loaded"], answer["log"])
        self.assertEqual(self.complaints(answer["log"]), [])
        said = "\n".join(text for _, text in answer["log"])
        self.assertIn("Version: SD 1.x", said)
        in_files = sum(map(int, re.findall(r": (\d+)", re.search(r"Weight type stat: +(.*)", said)[1])))
        wanted = sum(map(int, re.findall(r"params backend buffer size = .*\((\d+) tensors\)", said)))
        self.assertEqual((in_files, wanted), (tensors, tensors))

    def nearly(self, found, wanted, bound):
        """Of 255; what rounds to whole numbers is off by half of one."""
        largest = max(float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True))
        self.assertLess(largest, bound)
        return largest

    def room(self):
        free = int(re.search(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024
        if free < 16 * GIGABYTE or shutil.disk_usage(tempfile.gettempdir()).free < 12 * GIGABYTE:
            self.skipTest("wants 16 GB of free memory and 12 GB of disk")

    def train(self, name, learned, exports, *sets):
        """The exports; how many modules `check` says that each has, and how many of them stable-diffusion.cpp reads."""
        recipe = self.folder / f"{name}.yaml"
        recipe.write_text(RECIPE.format(name=name, directory=json.dumps(str(self.folder / name)), base=json.dumps(str(self.base())),
                                        learned=learned, exports=exports, cache=json.dumps(str(self.folder / "cache"))))
        arguments = recipe, *(item for value in sets for item in ("--set", value))
        told = {target["format"]: target for target in self.json("check", *arguments)["exports"]}
        self.lathe("train", *arguments, "--quiet", timeout=7200)
        read = {name: {engine["engine"]: engine["read"] for engine in target["engines"]}["stable-diffusion.cpp"] for name, target in told.items()}
        return self.folder / name / "export", {name: target["all"] for name, target in told.items()}, read

    def base(self):
        """Written once."""
        folder = self.place / "base"
        if not folder.exists():
            write_base(folder)
            shutil.rmtree(folder / "words")
        return folder

    def single_file(self):
        if not (self.place / "one").exists():
            self.assertTrue(json.loads(self.lathe("export", self.base(), "--format", "single_file", "--dtype", "fp16", "--output",
                                                  self.place / "one", "--json", "--quiet", timeout=7200)[0])["passed"])
        return self.place / "one" / "stable-diffusion.safetensors"

    def test_files_of_stable_diffusion_and_of_adapters(self):
        self.room()
        file, wanted = self.single_file(), drawn_by_diffusers(self.base())
        plain = self.ask(draws(), model_path=str(file))
        self.used_whole(plain, 1130)
        print(f"  single file: 1130 of 1130 tensors, largest difference from diffusers {self.nearly(plain['pictures'], wanted, 1.0):.2f} of 255", flush=True)
        for a, b in ((0, 1), (0, 2)):   # prompt and guidance reach the picture
            self.assertGreater(float((plain["pictures"][a] - plain["pictures"][b]).abs().mean()), 1.0)
        exports, modules, read = self.train("tuned", ADAPTER, "{format: diffusers, dtype: fp16}, {format: kohya}, {format: peft}, {format: comfyui}")
        self.assertEqual((read["diffusers"], read["kohya"]), (modules["diffusers"], modules["kohya"]))
        merged = self.ask(draws(), model_path=str(exports / "diffusers"))
        self.used_whole(merged, 1130)
        off = self.nearly(merged["pictures"], drawn_by_diffusers(exports / "diffusers"), 1.0)
        print(f"  merged, a folder: 1130 of 1130 tensors, largest difference from diffusers {off:.2f} of 255", flush=True)
        change = float((merged["pictures"][0] - plain["pictures"][0]).abs().mean())
        self.assertGreater(change, 1.0)
        for spelling, name, factors in (("kohya", "lora", 3), ("comfyui", "lora", 3), ("peft", "pytorch_lora_weights", 2)):
            for mode in ("immediately", "at_runtime") if spelling == "kohya" else ("immediately",):
                with self.subTest(spelling=spelling, mode=mode):
                    path = exports / spelling / f"{name}.safetensors"
                    answer = self.ask(draws(path, PROMPTS[:1]), model_path=str(file), lora_apply_mode=mode)
                    self.used_whole(answer, 1130)
                    said = [re.search(r"\((\d+) / (\d+)\) LoRA tensors", text) for _, text in answer["logs"][0]]
                    used = {(int(found[1]), int(found[2])) for found in said if found}
                    self.assertEqual(max(used)[0] if mode == "immediately" else sum(a for a, _ in used), factors * read[spelling], used)
                    off = self.nearly(answer["pictures"], merged["pictures"][:1], 3.0 if spelling == "kohya" else 256)
                    print(f"  {spelling}, {mode}: {sorted(used)} tensors, {off:.2f} of 255 at most from the merged picture (changed by {change:.1f} on "
                          "average)", flush=True)
                    if spelling == "kohya":
                        self.assertEqual(self.complaints(answer["logs"][0]), [])

    def test_a_new_word(self):
        self.room()
        exports, _, read = self.train("word", WORD, "{format: textual_inversion}", "data.trigger=<wug>")
        self.assertEqual(read["textual_inversion"], 2)
        folder = exports / "textual_inversion"
        wanted = drawn_by_diffusers(self.base(), [("a <wug>", 1.0)], str(folder / "learned_embeds.safetensors"))
        answer = self.ask(draws(prompts=[("a wug", 1.0), ("a x", 1.0)]), model_path=str(self.single_file()),
                          embedding_paths=[str(folder / "wug.safetensors")])   # it finds a word by its file's name
        self.used_whole(answer, 1130)
        self.assertIn("custom embeddings: 2", "\n".join(text for _, text in answer["logs"][0]))
        off = self.nearly(answer["pictures"][:1], wanted, 1.0)
        change = float((answer["pictures"][0] - answer["pictures"][1]).abs().mean())
        self.assertGreater(change, 0.5)
        print(f"  a new word of 2 vectors: {off:.2f} of 255 from diffusers (changed by {change:.1f} on average)", flush=True)

    def test_which_sizes_it_has_of_sd3s_layout(self):
        """Not ours: SD3's own, or none. Each size is what it says that it expected of a tensor of another one."""
        small = write_pipeline(self.folder / "small")
        for model in ({"model_path": str(small)}, {"diffusion_model_path": str(small / "transformer" / "diffusion_pytorch_model.safetensors")}):
            answer = self.ask(**model)
            self.assertFalse(answer["loaded"])
            self.assertIn("get sd version from file failed", answer["log"][-1][1])
        # One bias of its own size makes it SD3's, whose blocks are counted from 24 on.
        network, expected = "model.diffusion_model.", {}
        first = {network + "joint_blocks.0.x_block.attn.proj.bias": torch.zeros(1536)}
        for name, shape in (("x_embedder.proj.weight", (64, 3, 2, 2)), ("context_embedder.weight", (64, 64)), ("y_embedder.mlp.0.weight", (64, 64)),
                            ("pos_embed", (1, 16, 64)), ("final_layer.linear.weight", (12, 64))):
            save_file({**first, network + name: torch.zeros(shape)}, self.folder / "one.safetensors")
            said = "\n".join(text for _, text in self.ask(model_path=str(self.folder / "one.safetensors"))["log"])
            self.assertIn("MMDiT layers: 24 ", said)
            expected[name] = json.loads(re.search(re.escape(name) + r"' has wrong shape.*expected (\[.*\])", said)[1])
        print(f"  SD3's layout: 24 blocks, {expected}", flush=True)
        self.assertEqual(expected, {"x_embedder.proj.weight": [2, 2, 16, 1536], "context_embedder.weight": [4096, 1536, 1, 1],
                                    "y_embedder.mlp.0.weight": [2048, 1536, 1, 1], "pos_embed": [1536, 36864, 1, 1],
                                    "final_layer.linear.weight": [1536, 64, 1, 1]})


if __name__ == "__main__":
    unittest.main()
