#!/usr/bin/env python3
"""Writes recipes/sft/data/pairs.jsonl: 40 pairs that teach a form, half of them in French. Made, not collected.

  scripts/make_pairs.py [--output FILE]

A prompt is the head of a Python function with its docstring; the answer is one JSON record with the first argument, its
type and the docstring's sentence. No name and no word of meaning occurs in two pairs, so that whatever is held out is new
to the model: it can only be copied from the question. The order is drawn with a fixed seed; the file is the same each time.
"""
import argparse
import itertools
import json
import random
from pathlib import Path

SEED = 40
OUTPUT = Path(__file__).resolve().parents[1] / "recipes" / "sft" / "data" / "pairs.jsonl"
TYPES = ["str", "int", "bytes", "list", "float"]

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


def pair(entry, kinds, language):
    name, first, second, says = entry
    prompt = f'def {name}({first}: {kinds[0]}, {second}: {kinds[1]}) -> {kinds[2]}:\n    """{says}."""\n'
    record = {"takes": list(kinds[:2]), "returns": kinds[2], "language": language}
    return {"prompt": prompt, "completion": json.dumps(record, ensure_ascii=False)}


def pairs():
    draw = random.Random(SEED)
    kinds = draw.sample(list(itertools.permutations(TYPES, 3)), len(ENGLISH) + len(FRENCH))
    languages = ["en"] * len(ENGLISH) + ["fr"] * len(FRENCH)
    made = [pair(entry, *rest) for entry, *rest in zip(ENGLISH + FRENCH, kinds, languages)]
    draw.shuffle(made)
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    lines = [json.dumps(record, ensure_ascii=False) for record in pairs()]
    output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{output}: {len(lines)} pairs")
