"""Writes a tiny random text-to-picture model as diffusers and transformers would: folders, names and files, without either."""
import json
import math
import random
import struct

CHANNELS, HEADS, LAYERS, PATCH, SIDE, TABLE = 16, 2, 2, 2, 8, 4      # the network; TABLE: patches a side of its table
TEXT, WIDE, PROJECTION, LENGTH = 12, 24, 10, 10                     # the text encoder
JOINT = 2 * TEXT


def linear(name, inside, outside):
    return {f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)}


def network_shapes():
    shapes = {"pos_embed.proj.weight": (CHANNELS, 3, PATCH, PATCH), "pos_embed.proj.bias": (CHANNELS,),
              **linear("time_text_embed.timestep_embedder.linear_1", 256, CHANNELS),
              **linear("time_text_embed.timestep_embedder.linear_2", CHANNELS, CHANNELS),
              **linear("time_text_embed.text_embedder.linear_1", 2 * PROJECTION, CHANNELS),
              **linear("time_text_embed.text_embedder.linear_2", CHANNELS, CHANNELS), **linear("context_embedder", JOINT, CHANNELS),
              **linear("norm_out.linear", CHANNELS, 2 * CHANNELS), **linear("proj_out", CHANNELS, PATCH * PATCH * 3)}
    for layer in range(LAYERS):
        block, last = f"transformer_blocks.{layer}.", layer == LAYERS - 1
        shapes |= linear(block + "norm1.linear", CHANNELS, 6 * CHANNELS)
        shapes |= linear(block + "norm1_context.linear", CHANNELS, (2 if last else 6) * CHANNELS)
        for part in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_out.0") + (() if last else ("to_add_out",)):
            shapes |= linear(f"{block}attn.{part}", CHANNELS, CHANNELS)
        for side in ("ff",) + (() if last else ("ff_context",)):
            shapes |= {**linear(f"{block}{side}.net.0.proj", CHANNELS, 4 * CHANNELS), **linear(f"{block}{side}.net.2", 4 * CHANNELS, CHANNELS)}
    return shapes


def text_shapes(vocabulary):
    shapes = {"text_model.embeddings.token_embedding.weight": (vocabulary, TEXT),
              "text_model.embeddings.position_embedding.weight": (LENGTH, TEXT), "text_projection.weight": (PROJECTION, TEXT),
              "text_model.final_layer_norm.weight": (TEXT,), "text_model.final_layer_norm.bias": (TEXT,)}
    for layer in range(2):
        block = f"text_model.encoder.layers.{layer}."
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= linear(f"{block}self_attn.{part}", TEXT, TEXT)
        for part in ("layer_norm1", "layer_norm2"):
            shapes |= {f"{block}{part}.weight": (TEXT,), f"{block}{part}.bias": (TEXT,)}
        shapes |= {**linear(block + "mlp.fc1", TEXT, WIDE), **linear(block + "mlp.fc2", WIDE, TEXT)}
    return shapes


def position_table():
    """Half of the channels say the column, half the row; each as sines, then cosines."""
    quarter, scale = CHANNELS // 4, (SIDE // PATCH) / TABLE
    values = []
    for row in range(TABLE):
        for column in range(TABLE):
            for place in (column, row):
                angles = [place * scale / 10000 ** (k / quarter) for k in range(quarter)]
                values += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    return values


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        block = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(block)]}
        data += block
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def read_safetensors(path):
    """{name: (shape, values)} of a file of F32 tensors."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header, body, tensors = json.loads(data[8:8 + size]), data[8 + size:], {}
    for name, entry in header.items():
        if name != "__metadata__":
            block = body[slice(*entry["data_offsets"])]
            tensors[name] = entry["shape"], list(struct.unpack(f"<{len(block) // 4}f", block))
    return tensors


def random_tensors(shapes, seed):
    source, tensors = random.Random(seed), {}
    for name, shape in shapes.items():
        around = 1 if "norm" in name and name.endswith("weight") and len(shape) == 1 else 0
        tensors[name] = shape, [source.gauss(around, 0.2) for _ in range(math.prod(shape))]
    return tensors


def byte_alphabet():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def write_tokenizer(folder):
    """Byte-level, no merges; texts between begin and end."""
    vocabulary = {token: i for i, token in enumerate(byte_alphabet() + ["<|start|>", "<|end|>"])}
    special = {token: vocabulary[token] for token in ("<|start|>", "<|end|>")}
    added = [{"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for token, i in special.items()]
    place = lambda token: {"SpecialToken": {"id": token, "type_id": 0}}
    template = {"type": "TemplateProcessing", "single": [place("<|start|>"), {"Sequence": {"id": "A", "type_id": 0}}, place("<|end|>")],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {token: {"id": token, "ids": [i], "tokens": [token]} for token, i in special.items()}}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocabulary, "merges": []}
    write_json(folder / "tokenizer.json", {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
                                           "pre_tokenizer": byte_level, "post_processor": template, "decoder": byte_level, "model": model})
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": LENGTH,
                                                  "bos_token": "<|start|>", "eos_token": "<|end|>", "pad_token": "<|end|>"})
    return len(vocabulary)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def write_pipeline(folder, seed=1):
    names = {"scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"], "transformer": ["diffusers", "SD3Transformer2DModel"],
             **{part: [None, None] for part in ("vae", "text_encoder_3", "tokenizer_3")}}
    for place in ("", "_2"):
        names |= {f"text_encoder{place}": ["transformers", "CLIPTextModelWithProjection"],
                  f"tokenizer{place}": ["transformers", "PreTrainedTokenizerFast"]}
        (folder / f"tokenizer{place}").mkdir(parents=True)
        vocabulary = write_tokenizer(folder / f"tokenizer{place}")
        write_json(folder / f"text_encoder{place}" / "config.json",
                   {"architectures": ["CLIPTextModelWithProjection"], "model_type": "clip_text_model", "vocab_size": vocabulary,
                    "hidden_size": TEXT, "intermediate_size": WIDE, "num_hidden_layers": 2, "num_attention_heads": 3,
                    "max_position_embeddings": LENGTH, "projection_dim": PROJECTION, "eos_token_id": vocabulary - 1,
                    "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5})
        write_safetensors(folder / f"text_encoder{place}" / "model.safetensors", random_tensors(text_shapes(vocabulary), seed + 1))
    write_json(folder / "model_index.json", {"_class_name": "StableDiffusion3Pipeline", "_diffusers_version": "0.42.1", **names})
    write_json(folder / "scheduler" / "scheduler_config.json",
               {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 1.5})
    write_json(folder / "transformer" / "config.json",
               {"_class_name": "SD3Transformer2DModel", "sample_size": SIDE, "patch_size": PATCH, "in_channels": 3, "out_channels": 3,
                "num_layers": LAYERS, "attention_head_dim": CHANNELS // HEADS, "num_attention_heads": HEADS, "joint_attention_dim": JOINT,
                "caption_projection_dim": CHANNELS, "pooled_projection_dim": 2 * PROJECTION, "pos_embed_max_size": TABLE})
    tensors = random_tensors(network_shapes(), seed)
    tensors["pos_embed.pos_embed"] = (1, TABLE * TABLE, CHANNELS), position_table()
    write_safetensors(folder / "transformer" / "diffusion_pytorch_model.safetensors", tensors)
    return folder
