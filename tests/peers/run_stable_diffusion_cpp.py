"""Loads a model in stable-diffusion.cpp: run_stable_diffusion_cpp.py < request > answer, both JSON.

request: {"model": {arguments of StableDiffusion}, "draws": [{arguments of generate_image}, ...]}
answer:  {"loaded": bool, "log": [[level, line], ...], "pictures": [[H, W, bytes in base64], ...], "logs": [as log, of each draw]}
Levels are debug, info, warn and error. For the environment of `scripts/peers_env stable_diffusion_cpp`.
"""
import base64
import ctypes
import json
import os
import sys
from pathlib import Path

LEVELS = "debug", "info", "warn", "error"


def main():
    answers = os.fdopen(os.dup(1), "w")   # the library prints its progress to standard output
    os.dup2(2, 1)
    import stable_diffusion_cpp as library
    from stable_diffusion_cpp import StableDiffusion

    request, lines = json.load(sys.stdin), []

    @library.sd_log_callback
    def note(level, text, _):
        lines.append([LEVELS[level], text.decode("utf-8", "replace").strip()])

    def taken():
        kept = lines[:]
        lines.clear()
        return kept

    library.sd_set_log_callback(note, ctypes.c_void_p(0))
    # Version 0.4.7 of the package makes this list and then looks for it in the object.
    StableDiffusion._embedding_items = [library.sd_embedding_t(name=Path(path).stem.encode(), path=path.encode())
                                        for path in request["model"].get("embedding_paths", [])]
    model = StableDiffusion(**{"n_threads": 1, "verbose": False, **request["model"]})
    answer = {"loaded": bool(model._model.model), "log": taken(), "pictures": [], "logs": []}
    for draw in request["draws"] if answer["loaded"] else []:
        picture = model.generate_image(**draw)[0].convert("RGB")
        answer["pictures"].append([picture.height, picture.width, base64.b64encode(picture.tobytes()).decode()])
        answer["logs"].append(taken())
    with answers:
        json.dump(answer, answers)
    os._exit(0)   # what failed to load is not freed: the library would end with a signal


if __name__ == "__main__":
    main()
