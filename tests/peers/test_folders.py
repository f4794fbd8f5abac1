"""Folders of every family in bf16 come back as they were: each tensor's bytes, stop ids and sampling values, tokenizer and chat template."""
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[0] / "end_to_end"), str(HERE.parents[1] / "scripts")]
from check_families import FAMILIES, Draw, byte_tokenizer
from make_golden import randomise
from program import Case, tensors

TEMPLATE = ("{{ bos_token }}{% for message in messages %}<{{ message.role }}> {{ message.content | trim }}\n{% endfor %}"
            "{% if add_generation_prompt %}<assistant> {% endif %}{# été #}")
GENERATION = dict(bos_token_id=1, eos_token_id=[2, 5], pad_token_id=0, do_sample=True, temperature=0.6, top_p=0.95, top_k=20)


class Folders(Case):
    def make(self, family, number):
        """Even ones are one file, odd ones several with the template inside tokenizer_config.json, where older folders have it."""
        draw = Draw(sum(map(ord, family)) + 31)
        model = AutoModelForCausalLM.from_config(FAMILIES[family](draw), attn_implementation="eager").float()
        randomise(model, draw.generator)
        folder = self.folder / family
        model.generation_config = GenerationConfig(**GENERATION)
        model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="10KB" if number % 2 else "5GB")
        tokenizer = byte_tokenizer()
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(folder, save_jinja_files=number % 2 == 0)
        self.assertEqual((folder / "chat_template.jinja").exists(), number % 2 == 0)
        return folder

    def tensors_of(self, folder):
        found = {}
        for path in folder.glob("*.safetensors"):
            found.update(tensors(path))
        return found

    def test_what_is_read_is_written_again_to_the_byte(self):
        for number, family in enumerate(FAMILIES):
            with self.subTest(family=family):
                folder, output = self.make(family, number), self.folder / f"{family} again"
                self.lathe("export", folder, "--format", "huggingface", "--output", output)
                before, after = self.tensors_of(folder), self.tensors_of(output)
                self.assertEqual(before.keys(), after.keys())
                self.assertEqual({entry[0] for entry in before.values()}, {"BF16"})
                for name, entry in before.items():
                    self.assertEqual(after[name], entry, name)
                for name in ("generation_config.json", "tokenizer.json"):
                    self.assertEqual(*(json.loads((place / name).read_text(encoding="utf-8")) for place in (folder, output)), name)
                templates = [AutoTokenizer.from_pretrained(place).chat_template for place in (folder, output)]
                self.assertEqual(templates, [TEMPLATE, TEMPLATE])
                config, again = (json.loads((place / "config.json").read_text(encoding="utf-8")) for place in (folder, output))
                self.assertEqual({key: again.get(key) for key in config}, config)   # what it adds are older spellings
