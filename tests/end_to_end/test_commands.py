"""The command line: exit codes, --json, locales, errors that name place and remedy, speed of starting."""
import json
import re
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from program import LATHE, Case

ALONE = True   # measures time (scripts/run_tests.py)


class Commands(Case):
    def test_check_prints_every_error_with_its_place(self):
        recipe = self.recipe("run")
        text = recipe.read_text().replace("learning_rate: 3e-3", "learning_rat: 3e-3").replace("max_steps: 20", "max_steps: 020")
        recipe.write_text(text)
        _, log = self.lathe("check", recipe, code=2)
        self.assertRegex(log, r"run\.yaml:7:\d+: unknown key 'learning_rat' in 'optimizer' \(did you mean 'learning_rate'\?\)")
        self.assertRegex(log, r"run\.yaml:9:\d+: .*020")

    def test_an_unknown_key_of_the_model_is_an_error_too(self):
        recipe = self.recipe("run")
        recipe.write_text(recipe.read_text().replace("hidden_size", "hiden_size"))
        _, log = self.lathe("check", recipe, code=2)
        self.assertIn("did you mean 'hidden_size'?", log)

    def test_a_model_without_a_size_is_told_with_its_place(self):
        recipe = self.recipe("run")
        recipe.write_text(re.sub(r"model: \{.*?\}", "model: {family: llama}", recipe.read_text(), flags=re.S))
        for arguments, place in (([], r"run\.yaml:\d+:\d+"), (["--set", "model.family=gpt2"], "--set #1")):
            _, log = self.lathe("check", recipe, *arguments, code=2)
            self.assertRegex(log, rf"lathe: .*{place}: model: set 'size'")

    def test_check_prints_a_recipe_that_reads_back(self):
        output, _ = self.lathe("check", self.recipe("run"))
        again = self.folder / "again.yaml"
        again.write_text("\n".join(line for line in output.splitlines() if not line.startswith("#")))
        self.lathe("check", again)

    def test_locales_change_nothing(self):
        (self.folder / "text.txt").write_text("été 1,5 and 2.5\n", encoding="utf-8")
        results = []
        for locale in ("C", "fr_FR.UTF-8", "C.UTF-8"):
            name = "run-" + locale.replace(".", "")
            self.train(name, "train.max_steps=8", env={"LC_ALL": locale})
            results.append([record["loss"] for record in self.metrics(name)])
        self.assertEqual(results[0], results[1])
        self.assertEqual(results[0], results[2])

    def test_json_is_one_object_and_nothing_else(self):
        for arguments in (["check", self.recipe("run")], ["prepare", self.recipe("run")], ["plan", self.recipe("run")],
                          ["preview", self.recipe("run")], ["recipes"], ["doctor"], ["recipes", "reference"]):
            output, _ = self.lathe(*arguments, "--json")
            self.assertIsInstance(json.loads(output), dict, arguments)

    def test_the_self_test_checks_objectives_and_samplers(self):
        found = self.json("doctor", "--self-test")
        for kind, least in (("objectives", 100), ("samplers", 74)):
            self.assertEqual(found[f"diffusion_{kind}"]["failed"], [])
            self.assertGreaterEqual(found[f"diffusion_{kind}"]["checked"], least)

    def test_two_ranks_print_one_object_and_do_nothing_twice(self):
        arguments = ["train", self.recipe("run"), "--processes", "2", "--json", "--set", "train.max_steps=5"]
        first = json.loads(self.lathe(*arguments)[0])
        self.assertEqual(first["steps"], 5)
        output, log = self.lathe(*arguments)
        self.assertIn("nothing to do", log)
        self.assertEqual(json.loads(output)["steps"], 5)
        output, _ = self.lathe(*arguments, "--set", "train.seed=6", code=2)
        self.assertIn("train.seed", json.loads(output)["error"])

    def test_prepare_is_idempotent_and_notices_changes(self):
        first = json.loads(self.lathe("prepare", self.recipe("run"), "--json")[0])
        self.assertFalse(first["was_ready"])
        again = json.loads(self.lathe("prepare", self.recipe("run"), "--json")[0])
        self.assertTrue(again["was_ready"])
        self.assertEqual(first["data_sha256"], again["data_sha256"])
        (self.corpus / "text 00.txt").write_text("changed\n")
        changed = json.loads(self.lathe("prepare", self.recipe("run"), "--json")[0])
        self.assertNotEqual(first["data_sha256"], changed["data_sha256"])
        shard = self.lathe("inspect", changed["train"]["shards"][0])[0]
        self.assertIn("hash", shard)

    def test_what_the_error_of_a_damaged_shard_advises_works(self):
        prepared = json.loads(self.lathe("prepare", self.recipe("damaged"), "--json")[0])
        shard = Path(prepared["train"]["shards"][0])
        whole = shard.read_bytes()
        filled = max(re.finditer(rb"(?:(?!\0{16}).)+", whole, re.S), key=lambda match: match.end() - match.start())
        at = (filled.start() + filled.end()) // 2   # a token's, not one between the arrays
        shard.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
        arguments = ["train", self.recipe("damaged"), "--set", "train.max_steps=5"]
        _, log = self.lathe(*arguments, code=1)
        self.assertIn("lathe prepare", log)
        again = json.loads(self.lathe("prepare", self.recipe("damaged"), "--json")[0])
        self.assertFalse(again["was_ready"])
        self.assertIn("damaged", again["notes"][-1])
        self.assertEqual(shard.read_bytes(), whole)
        self.lathe(*arguments)

    def test_a_damaged_tokenizer_of_the_cache_is_made_again(self):
        prepared = json.loads(self.lathe("prepare", self.recipe("damaged"), "--json")[0])
        tokenizer = Path(prepared["tokenizer"]) / "tokenizer.json"
        whole = tokenizer.read_bytes()
        for damaged in (whole[:len(whole) // 2], whole.replace(b'"e"', b'"\xc3\xbf"', 1)):
            tokenizer.write_bytes(damaged)
            again = json.loads(self.lathe("prepare", self.recipe("damaged"), "--json")[0])
            self.assertEqual(again["data_sha256"], prepared["data_sha256"])
            self.assertEqual(tokenizer.read_bytes(), whole)

    def test_tokenize_there_and_back(self):
        prepared = json.loads(self.lathe("prepare", self.recipe("run"), "--json")[0])
        text = "naïve\tété\n\n  x = 1\u2019 \U0001f600 <|endoftext|>"
        ids = json.loads(self.lathe("tokenize", "--tokenizer", prepared["tokenizer"], "--json", input=text.encode())[0])["ids"]
        self.assertNotIn(0, [i for i in ids if i >= 512])
        back, _ = self.lathe("tokenize", "--tokenizer", prepared["tokenizer"], "--decode",
                             input=" ".join(map(str, ids)).encode())
        self.assertEqual(back, text)
        lines = self.lathe("tokenize", "--tokenizer", prepared["tokenizer"], "--lines", input=json.dumps({"text": text}).encode())[0]
        self.assertEqual(json.loads(lines)["ids"], ids)
        back = self.lathe("tokenize", "--tokenizer", prepared["tokenizer"], "--lines", "--decode", input=lines.encode())[0]
        self.assertEqual(json.loads(back)["text"], text)
        _, log = self.lathe("tokenize", "--tokenizer", prepared["tokenizer"], "--lines", "--decode", input=b'{"ids": [3]}\n{"ids": [512]}', code=1)
        self.assertIn("standard input:2: token id 512", log)

    def test_any_model_is_a_tokenizer(self):
        self.train("run", "train.max_steps=2", "schedule.warmup_steps=1", "export=[{format: gguf, quantize: f32}]")
        run = self.folder / "run"
        ids = {self.lathe("tokenize", "--tokenizer", model, input="the été".encode())[0]
               for model in (run, run / "export" / "gguf", run / "export" / "gguf" / "model-F32.gguf")}
        self.assertEqual(len(ids), 1)

    def test_a_vocabulary_without_a_pre_tokenizer_is_told_how_to_become_one(self):
        self.train("run", "train.max_steps=2", "schedule.warmup_steps=1", "export=[{format: huggingface}]")
        base = self.folder / "run" / "export" / "huggingface"
        tokenizer = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
        (base / "vocab.json").write_text(json.dumps(tokenizer["model"]["vocab"]))
        (base / "merges.txt").write_text("")
        (base / "tokenizer.json").unlink()
        log = self.lathe("export", base, "--output", self.folder / "out", code=1)[1]
        self.assertIn("do not name its pre-tokenizer", log)
        self.assertIn("save_pretrained(", log)

    def test_options_without_effect_are_refused(self):
        self.train("run", "train.max_steps=2", "schedule.warmup_steps=1")
        ask = ["generate", self.folder / "run", "--prompt", "the"]
        for options, why in ((("--count", "3"), "gives one text 3 times"), (("--top-p", "0.9"), "--top-p has no effect"),
                             (("--top-k", "5"), "--top-k has no effect")):
            self.assertIn(why, self.lathe(*ask, *options, code=2)[1])
            self.lathe(*ask, *options, "--temperature", "0.8", "--max-tokens", "2")
        score = ["evaluate", self.folder / "run", "--data", self.corpus / "text 00.txt"]
        self.assertIn("has positions for 64 tokens", self.lathe(*score, "--context", "65", code=2)[1])
        self.assertIn("--metrics", self.lathe(*score, "--output", "answers.jsonl", code=2)[1])
        self.lathe(*score, "--context", "1", code=2)
        self.lathe(*score, "--context", "64")

    def test_check_looks_at_the_data(self):
        self.assertIn("# data.train: 40 files, ", self.lathe("check", self.recipe("run"))[0])
        glob = f"data.train=[{{path: {json.dumps(str(self.corpus))}, glob: '*.zzz'}}]"
        self.assertIn("wanted files like '*.zzz'", self.lathe("check", self.recipe("run"), "--set", glob, code=2)[1])
        self.assertIn("aws s3 cp", self.lathe("check", self.recipe("run"), "--set", "data.train=s3://bucket/texts", code=2)[1])

    def test_wrong_arguments_and_missing_models_exit_2(self):
        self.lathe("train", code=2)
        self.lathe("nonsense", code=2)
        _, log = self.lathe("generate", self.folder / "nowhere", "--prompt", "x", code=2)
        self.assertIn("nowhere", log)
        _, log = self.lathe("generate", "some-org/some-model", "--prompt", "x", code=2)
        self.assertIn("hf download some-org/some-model", log)

    def test_numbers_and_texts_that_are_none_are_refused(self):
        self.train("run", "train.max_steps=5")
        for wrong, why in ((("--temperature", "nan"), "not a number"), (("--top-p", "nan"), "not a number"), (("--stop", ""), "--stop is empty"),
                           (("--system", b"caf\xe9"), "--system: byte 3 is not valid UTF-8")):
            result = subprocess.run([LATHE, "generate", self.folder / "run", "--prompt", "the", *wrong], capture_output=True, text=True)
            self.assertEqual(result.returncode, 2, wrong)
            self.assertIn(why, result.stderr)
        result = subprocess.run([LATHE, "generate", self.folder / "run", "--prompt", b"caf\xff"], capture_output=True, text=True)
        self.assertEqual(result.returncode, 2)
        self.assertIn("--prompt: byte 3 is not valid UTF-8", result.stderr)
        for command in (["inspect", "nosuch"], ["verify", "nosuch"], ["generate", "nosuch", "--prompt", "a"], ["evaluate", "nosuch", "--data", __file__]):
            _, log = self.lathe(*command, code=2)
            self.assertIn("does not exist", log)
        (self.folder / "ranks.tiktoken").write_text("IQ== 0\nIg== 1\n")
        _, log = self.lathe("tokenize", "--tokenizer", self.folder / "ranks.tiktoken", input=b"a", code=1)
        self.assertIn("take the tokenizer.json", log)

    def test_the_help_of_a_command_lists_what_every_command_takes(self):
        for command in (("train",), ("export",), ("recipes",), ("recipes", "list")):
            text = self.lathe(*command, "--help")[0]
            self.assertRegex(text, r"\n  --json +one JSON object on standard output")
            self.assertRegex(text, r"\n  --quiet +no progress")
            self.assertEqual((text.count("--help"), text.count("--version")), (1, 0), text)

    def test_an_output_that_cannot_be_written_is_an_error(self):
        if not Path("/dev/full").exists():
            self.skipTest("there is no /dev/full")
        for arguments in (["--version"], ["recipes", "list", "--json"]):
            with open("/dev/full", "wb") as full:
                result = subprocess.run([LATHE, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertIn("standard output could not be written", result.stderr)

    def test_an_option_takes_one_value_and_leaves_the_recipe(self):
        recipe = self.recipe("run")
        self.lathe("check", "--set", "train.max_steps=30", recipe, "--json")
        self.lathe("check", "--set", "train.max_steps=30", "--set", "train.seed=2", recipe)

    def test_a_short_context_does_not_end_a_run_at_its_samples(self):
        recipe = self.recipe("run")
        long = self.folder / "prompts.txt"
        long.write_text("the cat sat on the mat and " * 40 + "\n")
        for more in ([], ["--set", f"evaluate.prompts={long}"]):
            self.lathe("train", recipe, "--quiet", "--fresh", "--set", "data.sequence_length=32", "--set", "train.max_steps=6",
                       "--set", "schedule.warmup_steps=1", *more)

    def test_an_export_never_takes_what_it_exports(self):
        self.lathe("train", self.recipe("run"), "--quiet", "--set", "train.max_steps=6", "--set", "schedule.warmup_steps=1")
        self.lathe("export", self.folder / "run", "--output", self.folder / "out")
        before = (self.folder / "out" / "model.safetensors").read_bytes()
        _, log = self.lathe("export", self.folder / "out", "--dtype", "fp32", "--output", f"{self.folder}/./out", "--overwrite", code=2)
        self.assertIn("which would be lost", log)
        self.assertEqual((self.folder / "out" / "model.safetensors").read_bytes(), before)

    def test_starts_quickly(self):
        best = min(self.seconds("--help") for _ in range(10))
        self.assertLess(best, 0.3)

    def test_first_step_within_two_seconds_when_shards_are_ready(self):
        times = []
        for name, settings in (("tiny", ("--set", f"data.cache={self.folder / 'cache'}")), (self.recipe("run"), ())):
            self.lathe("prepare", name, *settings)
            for n in range(3):
                start = time.time()
                subprocess.run([LATHE, "train", name, "--quiet", "--stop-after", "1", "--set", f"directory={self.folder / f'run{n}'}",
                                "--fresh", *settings], cwd=self.folder, capture_output=True, check=True)
                times.append(time.time() - start)
            self.assertLess(min(times), 2.0, name)
            times.clear()

    def seconds(self, *arguments):
        start = time.time()
        subprocess.run([LATHE, *arguments], capture_output=True, check=True)
        return time.time() - start
