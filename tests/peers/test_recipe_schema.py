"""The JSON Schema of recipes in a validator of its own: what we ship is valid, and what `lathe check` refuses as a key or a type is not."""
import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

import jsonschema
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "end_to_end"))
from program import LATHE, ROOT

GOOD = {"model": {"family": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
        "data": {"train": [{"path": "a"}, "b"], "validation": 0.1}, "train": {"max_steps": 3, "micro_batch_size": "auto"},
        "export": [{"format": "huggingface"}]}
BAD = [{"trian": {}}, {"train": {"max_steps": 0}}, {"train": {"max_steps": "x"}}, {"optimizer": {"name": "adam"}},
       {"data": {"validation": 1.5}}, {"train": {"micro_batch_size": "automatic"}}, {"train": {"max_step": 3}},
       {"model": {"family": "llama", "hiden_size": 64}}, {"model": {"family": "lama"}}, {"model": {"family": "gpt2", "hidden_size": 64}},
       {"model": {"family": "llama", "hidden_size": "wide"}}, {"model": {"path": "base", "hidden_size": 64}},
       {"model": {"family": "unet2d", "hidden_size": 64}}, {"adapter": {"kind": "lora", "rang": 4}}]


class Yaml12(yaml.SafeLoader):
    """2e-3 is a number in YAML 1.2, as lathe and editors read it; PyYAML reads 1.1, where it is text."""


Yaml12.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789"))


class RecipeSchema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        text = subprocess.run([LATHE, "recipes", "reference", "--json-schema"], capture_output=True, text=True, check=True).stdout
        cls.schema = json.loads(text)
        jsonschema.Draft202012Validator.check_schema(cls.schema)
        cls.validator = jsonschema.Draft202012Validator(cls.schema)

    def test_every_recipe_that_comes_along_is_valid(self):
        recipes = [path for path in (ROOT / "recipes").glob("*/*.yaml")]
        self.assertGreater(len(recipes), 10)
        for path in recipes:
            errors = [error.message for error in self.validator.iter_errors(yaml.load(path.read_text(), Yaml12))]
            self.assertEqual(errors, [], path)

    def test_keys_and_types(self):
        self.assertEqual([error.message for error in self.validator.iter_errors(GOOD)], [])
        for bad in BAD:
            self.assertFalse(self.validator.is_valid(bad), bad)
            result = subprocess.run([LATHE, "check", "/dev/stdin"], input=yaml.safe_dump(bad), capture_output=True, text=True)
            self.assertEqual(result.returncode, 2, bad)

    def test_every_family_brings_its_keys(self):
        rules = {rule["if"]["properties"]["family"]["const"]: rule["then"]["properties"]
                 for rule in self.schema["properties"]["model"]["allOf"] if "const" in str(rule.get("if"))}
        for family, key in {"llama": "rope_theta", "gpt2": "n_embd", "qwen3": "head_dim", "gemma3": "sliding_window_pattern",
                            "unet2d": "block_out_channels", "dit": "patch_size"}.items():
            self.assertIn("description", rules[family][key])


if __name__ == "__main__":
    unittest.main()
