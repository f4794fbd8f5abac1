"""What ends an answer survives tuning and every export: a base with two stop ids whose template closes turns with a third."""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from tuning_case import Tuning

CLOSING = ("{% for message in messages %}<{{ message.role }}>{{ message.content }}~\n{% endfor %}"
           "{% if add_generation_prompt %}<assistant>{% endif %}")


class Stops(Tuning):
    def closing_base(self):
        """'~' becomes a control token that only the template names; generation_config.json has two other stops."""
        base = self.folder / "closing"
        shutil.copytree(self.base, base)
        tokenizer = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
        self.closing = tokenizer["model"]["vocab"]["~"]
        tokenizer["added_tokens"].append({"id": self.closing, "content": "~", "special": True, "normalized": False, "lstrip": False,
                                          "rstrip": False, "single_word": False})
        (base / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
        (base / "chat_template.jinja").write_text(CLOSING, encoding="utf-8")
        self.eos = json.loads((base / "config.json").read_text())["eos_token_id"]
        self.other = tokenizer["model"]["vocab"]["`"]
        generation = {"eos_token_id": [self.eos, self.other], "temperature": 0.6}
        (base / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
        return base

    def test_full_tuning_and_adapters_export_every_stop(self):
        base = self.closing_base()
        for method in ("full", "lora"):
            recipe = self.tuning(method, self.pairs(8), base=base,
                                 extra="export: [{format: huggingface, dtype: fp32}, {format: gguf, quantize: f32}]\n")
            if method == "full":
                recipe.write_text("".join(line for line in recipe.read_text().splitlines(True) if not line.startswith("adapter")))
            self.lathe("train", recipe, "--quiet", "--set", "train.max_steps=2")
            exports = self.folder / method / "export"
            generation = json.loads((exports / "huggingface" / "generation_config.json").read_text())
            self.assertEqual(generation["eos_token_id"], [self.eos, self.other, self.closing], method)
            self.assertEqual(generation["temperature"], 0.6)
            modelfile = (exports / "gguf" / "Modelfile").read_text(encoding="utf-8")
            self.assertIn('PARAMETER stop "~"', modelfile)
            self.assertTrue(self.json("verify", exports / "gguf")["passed"])
        generation["eos_token_id"] = [self.eos, self.other]   # an export that lost it does not pass
        (exports / "huggingface" / "generation_config.json").write_text(json.dumps(generation))
        (exports / "huggingface" / "MANIFEST.json").unlink()
        out, _ = self.lathe("verify", exports / "huggingface", code=1)
        self.assertIn("closes an answer with ~", out)
        self.lathe("export", base, "--format", "huggingface", "--dtype", "fp32", "--output", "foreign", "--quiet")
        generation = json.loads((self.folder / "foreign" / "generation_config.json").read_text())
        self.assertEqual(generation["eos_token_id"], [self.eos, self.other, self.closing])

    def test_a_template_in_the_processors_file_and_the_licence_go_along(self):
        base = self.closing_base()
        (base / "LICENSE").write_text("what one may do with it")
        chat = (base / "chat_template.jinja").read_text(encoding="utf-8")
        (base / "chat_template.jinja").unlink()
        (base / "chat_template.json").write_text(json.dumps({"chat_template": chat}), encoding="utf-8")
        recipe = self.tuning("run", self.pairs(8), base=base, extra="export: [{format: huggingface}, {format: peft}]\n")
        self.lathe("train", recipe, "--quiet", "--set", "train.max_steps=2")
        for form in ("huggingface", "peft"):
            written = self.folder / "run" / "export" / form / "chat_template.jinja"
            self.assertEqual(written.read_text(encoding="utf-8"), chat)
            self.assertEqual((written.parent / "LICENSE").read_text(), "what one may do with it")
        for model in (self.folder / "run", self.folder / "run" / "export" / "huggingface"):
            self.assertIn("its own chat template", self.lathe("generate", model, "--prompt", "Hi", "--max-tokens", "2")[1])
        self.lathe("export", self.folder / "run" / "export" / "peft", "--format", "gguf", "--output", self.folder / "again", "--quiet")
        self.assertEqual((self.folder / "again" / "LICENSE").read_text(), "what one may do with it")
