"""Latents and embeddings of captions in the cache, of tiny Stable Diffusion pipelines: h5py reads what diffusers' VAE and transformers'
text encoder say; runs learn the same bits with the cache and without; SIGKILL, damage, another VAE and other pictures are noticed."""
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))
from stable_diffusion_model import RECIPE, PipelineCase
from program import LATHE, damage


class Encodings(PipelineCase):
    def written(self, name, base):
        path = self.folder / f"{name}.yaml"
        path.write_text(RECIPE.format(directory=json.dumps(str(self.folder / name)), base=json.dumps(str(base)),
                                      cache=json.dumps(str(self.folder / "cache"))))
        return path

    def prepare(self, base, *sets):
        return self.lathe("prepare", self.written("prepared", base), *(item for value in sets for item in ("--set", value)))[1]

    def shards(self, what="latents"):
        return sorted((self.folder / "cache" / "encodings").glob(what + "-*.h5"))

    def learned(self, run):
        """Weights, moments and losses."""
        losses = [json.loads(line).get("loss") for line in (run / "metrics.jsonl").read_text().splitlines()]
        step = run / "checkpoints" / "step-00000012"
        return [(path.relative_to(step), path.read_bytes()) for path in sorted(step.rglob("*.safetensors"))], losses

    def test_what_is_kept_is_what_diffusers_says(self):
        base = self.save("second")
        said = self.json("prepare", self.written("prepared", base))
        self.assertEqual(said["latents"], 12)
        pipeline = StableDiffusionPipeline.from_pretrained(base)
        with h5py.File(said["sets"][0]["shards"][0]) as pictures, h5py.File(self.shards()[0]) as latents:
            self.assertEqual(latents.attrs["format"].decode(), "lathe-encodings")
            self.assertEqual(json.loads(latents.attrs["settings"])["encoder"]["parts"], [["mean", [4, 8, 8]], ["log_variance", [4, 8, 8]]])
            self.assertEqual((latents["values"].dtype, latents["values"].shape), (numpy.float32, (12, 2 * 256)))
            pixels = torch.tensor(pictures["pixels"][:].astype(numpy.float32) / 32767.5 - 1).permute(0, 3, 1, 2)
            posterior = pipeline.vae.encode(pixels).latent_dist
            found = torch.tensor(latents["values"][:]).view(12, 2, 4, 8, 8)
            for index, wanted in enumerate((posterior.mean, posterior.logvar)):
                self.assertLess((found[:, index] - wanted).abs().max().item(), 1e-3 * max(1, wanted.abs().max().item()))
            first = pictures["captions"][: pictures["caption_offsets"][1]].tobytes().decode()
        with h5py.File(self.shards("texts")[0]) as embeddings:   # the empty caption, then the first picture's
            for row, caption in enumerate(("", first)):
                ids = pipeline.tokenizer(caption, padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
                wanted = pipeline.text_encoder(ids)[0].flatten()
                self.assertLess((torch.tensor(embeddings["values"][row]) - wanted).abs().max().item(), 1e-4)

    def test_runs_learn_the_same_with_the_cache_and_without(self):
        base = self.save("first")
        for name, sets in {"fp32": ["data.flip=true", "data.validation=[{generate: shapes, count: 6}]", "evaluate.every=6"],
                           "bf16": ["train.precision=bf16"], "two": ["train.threads=2", "adapter={kind: lora, rank: 2}"]}.items():
            with self.subTest(name):
                cached, found = self.train("cached " + name, base, *sets), self.train("found " + name, base, *sets)
                without = self.train("without " + name, base, *sets, "data.cache_encodings=false")
                self.assertEqual(self.learned(cached), self.learned(found))
                self.assertEqual(self.learned(cached), self.learned(without))

    def test_ranks_read_the_same_latents(self):
        base = self.save("first")
        one, two = self.train("one", base), self.train("two", base, extra=("--processes", "2"))
        (a, losses), (b, others) = self.learned(one), self.learned(two)
        self.assertLess(abs(losses[0] - others[0]) / losses[0], 1e-6)   # of the same latents; later weights differ by rounding
        self.assertLess(max(abs(x - y) / abs(x) for x, y in zip(losses, others) if x), 1e-4)

    def test_a_filling_model_reads_them_too(self):
        base = self.save("filling")
        self.assertEqual(self.learned(self.train("cached", base)), self.learned(self.train("without", base, "data.cache_encodings=false")))

    def test_another_vae_or_picture_is_noticed(self):
        base = self.save("first")
        self.assertIn("12 to encode", self.prepare(base))
        self.assertNotIn("to encode", self.prepare(base))
        self.assertIn("latents of the train pictures: 14 to encode", self.prepare(base, "data.train=[{generate: shapes, count: 14}]"))
        self.assertNotIn("latents", self.prepare(base, "data.train=[{generate: shapes, count: 12, trigger: wug}]"))
        path = base / "vae" / "diffusion_pytorch_model.safetensors"
        weights = load_file(path)
        weights["encoder.conv_in.bias"][0] += 1e-3
        save_file(weights, path)
        said = self.prepare(base)
        self.assertIn("latents of the train pictures: 12 to encode", said)
        self.assertNotIn("captions", said)

    def test_damage_is_noticed_and_made_again(self):
        base = self.save("first")
        self.prepare(base)
        before = self.shards()[0].read_bytes()
        damage(self.shards()[0])
        self.assertIn("; 1 damaged files there are made again", self.prepare(base))
        self.assertEqual(self.shards()[0].read_bytes(), before)

    def test_killed_it_goes_on_where_it_stopped(self):
        base = self.save("first")
        sets = ["data.train=[{generate: shapes, count: 90}]", "data.resolution=[256]"]
        command = [LATHE, "prepare", self.written("prepared", base), *(item for value in sets for item in ("--set", value))]
        process = subprocess.Popen(list(map(str, command)), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.time() + 240
        while not self.shards():
            self.assertIsNone(process.poll())
            self.assertLess(time.time(), deadline)
            time.sleep(0.02)
        time.sleep(0.3)   # inside the second
        process.send_signal(signal.SIGKILL)
        process.stderr.close()
        process.wait()
        (first,) = self.shards()
        stamp = first.stat().st_mtime_ns
        self.assertIn("26 to encode", self.prepare(base, *sets))
        self.assertEqual((len(self.shards()), first.stat().st_mtime_ns), (2, stamp))
        self.assertEqual([path for path in (self.folder / "cache").rglob("*.tmp-*")], [])
        self.assertNotIn("to encode", self.prepare(base, *sets))


if __name__ == "__main__":
    import unittest
    unittest.main()
