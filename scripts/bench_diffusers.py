"""A diffusers training loop on the same network and pictures as a lathe run: the peer of scripts/bench_pictures.

usage: bench_diffusers.py CONFIG.json PICTURES --steps N --batch B
bf16 autocast over fp32 weights, fused AdamW, velocity on the cosine schedule: what `--mixed_precision bf16` gives its users. Prints one
JSON object.
"""
import argparse
import json
import resource
import statistics
import time
from pathlib import Path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("pictures")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    import diffusers
    import numpy
    import torch
    from PIL import Image

    torch.manual_seed(5)
    config = json.loads(Path(options.config).read_text())
    folders = sorted(path for path in Path(options.pictures).iterdir() if path.is_dir())
    classes = {"UNet2DModel": {"num_class_embeds": len(folders) + 1}, "DiTTransformer2DModel": {"num_embeds_ada_norm": len(folders)}}
    network = getattr(diffusers, config["_class_name"]).from_config({**config, **classes[config["_class_name"]]}).train()
    files = [(path, number) for number, folder in enumerate(folders) for path in sorted(folder.glob("*.png"))]
    pictures = torch.stack([torch.from_numpy(numpy.array(Image.open(path))).permute(2, 0, 1) for path, _ in files]).float() / 127.5 - 1
    classes = torch.tensor([number for _, number in files])
    noises = diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    ends = [time.time()]
    for _ in range(options.steps):
        chosen = torch.randint(len(files), (options.batch,))
        clean, noise, steps = pictures[chosen], torch.randn(options.batch, *pictures.shape[1:]), torch.randint(1000, (options.batch,))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            guess = network(noises.add_noise(clean, noise, steps), steps, class_labels=classes[chosen], return_dict=False)[0]
        loss = torch.nn.functional.mse_loss(guess.float(), noises.get_velocity(clean, noise, steps))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.time())
    seconds = statistics.median(after - before for before, after in zip(ends[3:], ends[4:]))
    print(json.dumps({"pictures_per_second": options.batch / seconds,
                      "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                      "parameters": sum(p.numel() for p in network.parameters()), "loss": loss.item()}))


main()
