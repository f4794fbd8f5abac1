"""A world in which a model of a million parameters can be tuned: cards of made-up people with one line about each, and prose.

A base reads cards followed by lines whose form a word before the line names, and so learns to copy fields as a word asks; now
and then the word is a strange one, and any form may follow. The new behaviour is one more strange word and a form that it never
read: three fields in brackets, in an order of its own. Names and towns are made-up words; no training answer repeats in an answer.
A document is about a few people who come back in it, as in real texts: what returns can be copied, and a small model that learned to
copy learns soon from which field. Of people who never came back some bases learned it and others did not (tests/PROOFS.md).
"""
import json
import random

SYLLABLES = [c + v for c in "b d f g k l m n p r s t v z".split() for v in "aeiou"]
TRADES = "baker smith farmer miller tailor doctor sailor painter teacher carpenter weaver hunter".split()
KEYS = ["name", "town", "trade", "horse"]
FORMS = {
    "letter": "to {name} in {town}",
    "label": "{town} : {name} ( {trade} )",
    "record": "name {name} ; town {town} ; trade {trade} ; horse {horse}",
    "rumour": "the {trade} {name} from {town} rides {horse}",
    "list": "{horse} , {trade} , {name}",
    "sign": "[ {name} ]",
    "race": "< {horse} >",
    "news": "{town} has a {trade} called {name}",
    "census": "{trade} | {horse} | {town}",
}
SEPARATORS = [",", ";", "/", "|", "-", "+", "and"]
PEOPLE = 4   # of a document
WRAPS = ["{}", "{}", "( {} )", "[ {} ]", "< {} >"]
STORIES = [     # of people who are in the document
    "The {trade} {name} walked to {town} before noon .",
    "In {town} nobody had seen {name} or {horse} .",
    "{name} talked about the road to {town} .",
    "It rained , and {name} stayed at home with {horse} .",
]
SENTENCES = [   # general text: nobody's name, no card
    "The {quality} {trade} walked to the {place} {time} .",
    "{time} nobody had seen the {animal} near the {place} .",
    "A {trade} and a {animal} talked about the {quality} {place} .",
    "It rained , and the {trade} stayed in the {place} with the {quality} {animal} .",
    "The {quality} {animal} slept {time} .",
]
ORDINARY = {
    "trade": TRADES,
    "quality": "old young tired happy careful quiet rich poor brave lonely".split(),
    "place": "market river bridge church mill forest harbour garden tower kitchen".split(),
    "animal": "dog cat goat hen fox owl donkey pig".split(),
    "time": ["before noon", "at night", "in spring", "on Sunday", "after supper", "for years"],
}


def made_words(count):
    draw = random.Random(0)
    return sorted({"".join(draw.sample(SYLLABLES, 3)).capitalize() for _ in range(count)})


WORDS = made_words(240)
TAUGHT = WORDS[0].lower()   # no entry of the corpus uses it


def person(draw):
    name, town, horse = draw.sample(WORDS, 3)
    return {"name": name, "town": town, "trade": draw.choice(TRADES), "horse": horse}


def card(draw, who, word):
    keys = draw.sample(KEYS, len(KEYS))
    return "".join(f"{key}: {who[key]}\n" for key in keys) + word + ":"


def any_form(draw, who):
    """Some fields between some separators; never the form that is taught later."""
    keys, separator, wrap = draw.sample(KEYS, draw.randint(1, 3)), draw.choice(SEPARATORS), draw.choice(WRAPS)
    if separator == "|" and wrap.startswith("<"):
        wrap = "{}"
    return wrap.format(f" {separator} ".join(who[key] for key in keys))


def prose(draw):
    return " ".join(draw.choice(SENTENCES).format(**{kind: draw.choice(words) for kind, words in ORDINARY.items()})
                    for _ in range(4)) + "\n"


def entry(draw, who):
    """Two sentences about somebody, or a card and the line that a word asks for."""
    chance = draw.random()
    if chance < 0.15:
        return " ".join(draw.choice(STORIES).format(**who) for _ in range(2)) + "\n"
    if chance < 0.55:
        return card(draw, who, draw.choice(WORDS[1:]).lower()) + " " + any_form(draw, who) + "\n"
    word = draw.choice(list(FORMS))
    return card(draw, who, word) + " " + FORMS[word].format(**who) + "\n"


def corpus(seed, documents):
    """Documents of twelve entries about a few people; one in four is prose."""
    draw, texts = random.Random(seed), []
    for _ in range(documents):
        people = [person(draw) for _ in range(PEOPLE)]
        plain = draw.random() < 0.25
        texts.append("\n".join(prose(draw) if plain else entry(draw, draw.choice(people)) for _ in range(12)))
    return texts


def pairs(seed, count):
    """Prompts and answers in the new form; no two answers are equal."""
    draw, seen, made = random.Random(seed), set(), []
    while len(made) < count:
        who = person(draw)
        answer = " < {town} | {horse} | {name} >".format(**who)
        if answer not in seen:
            seen.add(answer)
            made.append({"prompt": card(draw, who, TAUGHT), "completion": answer})
    return made


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


BASE = """\
name: base
directory: {directory}
model: {{family: llama, hidden_size: 128, intermediate_size: 384, num_hidden_layers: 4, num_attention_heads: 4,
         num_key_value_heads: 4, tie_word_embeddings: true}}
tokenizer: {{train: byte_bpe, vocab_size: 1024}}
data: {{train: {corpus}, validation: 0.01, sequence_length: 256, cache: {cache}}}
optimizer: {{learning_rate: 3e-3}}
schedule: {{warmup_steps: 40}}
train: {{max_steps: {steps}, global_batch_size: 8, seed: {seed}, threads: 1}}
export: [{{format: huggingface, dtype: fp32}}]
"""
TUNED = """\
name: {name}
directory: {directory}
task: sft
model: {{path: {base}}}
data: {{train: {data}, validation: {held}, sequence_length: 128, cache: {cache}}}
checkpoint: {{keep_best: false}}
evaluate: {{metrics: [exact_match], probe: {probe}}}
train: {{threads: 1, epochs: {epochs}}}
"""
METHODS = {   # a base so small learns slowly by adapters: twice their 13 epochs, as many as all weights have by default
    "lora": "adapter: {kind: lora}\n",
    "dora": "adapter: {kind: dora}\n",
    "qlora": "adapter: {kind: lora}\n",
    "full": "",
}
EPOCHS = 26


class World:
    """A folder with corpus, general text, pairs and a base that read the corpus."""

    def __init__(self, case, folder, documents, steps, held, seed):
        self.case, self.folder = case, folder
        folder.mkdir(exist_ok=True)
        self.files = {"corpus": write_lines(folder / "corpus.jsonl", [{"text": text} for text in corpus(1, documents)]),
                      "data": write_lines(folder / "train.jsonl", pairs(3, 32)),
                      "held": write_lines(folder / "held.jsonl", pairs(4, held)), "probe": folder / "general.txt",
                      "cache": folder / "cache"}
        draw = random.Random(2)   # general text: what has nothing to do with cards
        self.files["probe"].write_text("\n".join(prose(draw) for _ in range(250)), encoding="utf-8")
        recipe = folder / "base.yaml"
        recipe.write_text(BASE.format(steps=steps, seed=seed, **self.quoted(directory=folder / "base")), encoding="utf-8")
        case.lathe("train", recipe, "--quiet", timeout=4 * 3600)
        self.files["base"] = folder / "base" / "export" / "huggingface"

    def quoted(self, **more):
        return {key: json.dumps(str(value)) for key, value in {**self.files, **more}.items()}

    def tune(self, name, method, *sets):
        """Tunes with defaults but for the epochs and `sets`; returns the report."""
        recipe = self.folder / f"{name}.yaml"
        directory = self.folder / name
        recipe.write_text(TUNED.format(name=name, epochs=EPOCHS, **self.quoted(directory=directory)) + METHODS[method], encoding="utf-8")
        if method == "qlora":
            sets = ("model.quantization={kind: nf4}", *sets)
        self.case.lathe("train", recipe, "--quiet", *[item for value in sets for item in ("--set", value)], timeout=4 * 3600)
        return json.loads((directory / "report.json").read_text(encoding="utf-8"))


def scores(report):
    return {system: entry["score"] for system, entry in report["metrics"]["exact_match"].items()}
