#!/usr/bin/env python3
"""Writes recipes/sft/data/pairs.jsonl: 40 pairs that teach a form, half of them in French; made, not found.

  scripts/make_pairs.py [--output FILE]

A prompt is the head of a Python function with its docstring; the answer is one JSON record: what the function
returns, how many arguments it takes, the language of the docstring. No name, no word of meaning and no whole
answer occurs in two pairs, so that a held-out answer can be neither remembered nor guessed. Drawn with a fixed
seed: the same file each time.
"""
import argparse
import itertools
import json
import random
from pathlib import Path

SEED = 40
OUTPUT = Path(__file__).resolve().parents[1] / "recipes" / "sft" / "data" / "pairs.jsonl"
TYPES = ["str", "int", "bytes", "list", "float", "dict", "bool"]
COUNTS = [0, 1, 2]

# name of the function, its two arguments, what its docstring says
ENGLISH = [
    ("parse_header", "line", "strict", "Split letterheads at colons"),
    ("open_socket", "host", "port", "Connect to servers"),
    ("read_config", "path", "mode", "Load options from files"),
    ("count_words", "text", "limit", "Return totals"),
    ("send_mail", "message", "sender", "Deliver letters"),
    ("write_index", "rows", "target", "Store records"),
    ("find_user", "login", "domain", "Search accounts by names"),
    ("merge_keys", "first", "other", "Join mappings"),
    ("draw_frame", "window", "color", "Paint borders"),
    ("sort_items", "values", "reverse", "Order lists"),
    ("copy_tree", "source", "depth", "Duplicate directories with links"),
    ("wait_event", "timeout", "signal", "Pause threads until woken"),
    ("encode_token", "data", "charset", "Convert strings"),
    ("check_sum", "block", "start", "Compare digests"),
    ("clear_cache", "size", "age", "Remove old entries"),
    ("build_query", "fields", "where", "Create statements"),
    ("format_birthday", "year", "month", "Show days as numbers"),
    ("close_stream", "handle", "flush", "Release buffers"),
    ("test_package", "suite", "verbose", "Run every case"),
    ("set_level", "level", "logger", "Change verbosity"),
]
FRENCH = [
    ("lire_ligne", "fichier", "rang", "Donne le contenu demand\u00e9"),
    ("ouvrir_porte", "code", "salle", "Laisse entrer le visiteur"),
    ("compter_mots", "phrase", "langue", "Mesure la longueur d'un paragraphe"),
    ("envoyer_lettre", "client", "adresse", "Poste le courrier"),
    ("trier_notes", "copies", "ordre", "Range les \u00e9valuations de l'\u00e9l\u00e8ve"),
    ("fermer_base", "base", "attente", "Lib\u00e8re la connexion"),
    ("calculer_prix", "article", "remise", "Applique la r\u00e9duction"),
    ("chercher_nom", "nom", "annuaire", "Trouve une personne"),
    ("ajouter_jour", "date", "nombre", "Avance le calendrier"),
    ("effacer_page", "page", "livre", "Vide la feuille"),
    ("tourner_image", "photo", "angle", "Pivote le clich\u00e9"),
    ("dessiner_carte", "carte", "taille", "Trace une r\u00e9gion"),
    ("verifier_cle", "cle", "secret", "V\u00e9rifie la signature"),
    ("charger_module", "module", "version", "Importe le greffon"),
    ("traduire_titre", "titre", "lexique", "Passe du fran\u00e7ais \u00e0 l'anglais"),
    ("mesurer_temps", "debut", "fin", "Calcule la dur\u00e9e"),
    ("remplir_verre", "verre", "boisson", "Sert \u00e0 boire"),
    ("arreter_tache", "tache", "raison", "Arr\u00eate le travail en cours"),
    ("peser_colis", "colis", "unite", "Indique le poids"),
    ("signer_contrat", "contrat", "plume", "Engage les parties"),
]


def pair(entry, count, kind, language):
    name, first, second, says = entry
    arguments = ", ".join([first, second][:count])
    prompt = f'def {name}({arguments}) -> {kind}:\n    """{says}."""\n'
    record = {"returns": kind, "arguments": count, "language": language}
    return {"prompt": prompt, "completion": json.dumps(record, ensure_ascii=False)}


def pairs():
    draw = random.Random(SEED)
    made = []
    for entries, language in ((ENGLISH, "en"), (FRENCH, "fr")):
        forms = draw.sample(list(itertools.product(COUNTS, TYPES)), len(entries))
        made += [pair(entry, *form, language) for entry, form in zip(entries, forms)]
    draw.shuffle(made)
    return made


if __name__ == "__main__":
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    lines = [json.dumps(record, ensure_ascii=False) for record in pairs()]
    output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{output}: {len(lines)} pairs")
