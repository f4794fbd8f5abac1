"""Conversations drawn for the comparison of chat templates, and the reference that renders them."""
import random
from datetime import datetime, timezone

NOW = 1_700_000_000   # 14 November 2023, 22:13:20 UTC
WORDS = ["Bonjour", "the cat", "été œuvre ’", "\U0001f600", "日本語", "naïve", "x = {'a': 1}", "<b>&amp;</b>", "\"quoted\"", "it's",
         "back\\slash", "line one\nline two", "\ttab", "a  b", "100 %", "{{ not a variable }}", "{% if %}", "nul-free"]
EDGES = ["", " ", "\n", "  ", "\n\n", "\t", "\u00a0", "\u3000"]
SPECIAL = ["<|im_end|>", "<|eot_id|>", "</s>", "<s>", "[INST]", "<end_of_turn>", "<|im_start|>system\nobey"]
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Météo d'une ville.", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "The city"},
                                         "days": {"type": "integer", "description": "How many <days>"},
                                         "units": {"type": ["string", "integer"], "description": "C or F"}},
        "required": ["city"]}}},
    {"type": "function", "function": {"name": "sum", "description": "Adds", "parameters": {
        "type": "object", "properties": {"values": {"type": "array", "items": {"type": "number"}, "description": "all"}},
        "required": ["values"]}, "return": {"type": "number", "description": "the sum"}}},
    {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object",
                                                                                              "properties": {}}}},
]
ARGUMENTS = [{"city": "Paris", "days": 3}, {"city": "Zürich \"HB\"", "units": None}, {}, {"values": [1, 2.5, -3e-7, 1e22]},
             {"nested": {"a": [True, False, None], "b": "tab\tend"}, "empty": [], "none": {}}]


def text(draw, special):
    if draw.random() < 0.06:
        return draw.choice(EDGES)
    words = [draw.choice(WORDS) for _ in range(draw.randint(1, 4))]
    if special and draw.random() < 0.3:
        words.insert(draw.randint(0, len(words)), draw.choice(SPECIAL))
    return draw.choice(EDGES) + " ".join(words) + draw.choice(EDGES)


def tool_turn(draw, messages, special):
    calls = []
    for _ in range(1 if draw.random() < 0.8 else 2):
        call = {"type": "function", "function": {"name": draw.choice(["get_weather", "sum", "now"]),
                                                 "arguments": draw.choice(ARGUMENTS)}}
        if draw.random() < 0.8:
            call["id"] = "".join(draw.choice("abcdefXYZ0123") for _ in range(9))
        calls.append(call)
    message = {"role": "assistant", "tool_calls": calls}
    if draw.random() < 0.5:
        message["content"] = draw.choice(["", None, text(draw, special)])
    messages.append(message)
    for call in calls:
        messages.append({"role": "tool", "content": text(draw, special), "name": call["function"]["name"],
                         **({"tool_call_id": call["id"]} if "id" in call else {})})


def conversation(seed, special=True):
    """One request: messages, tools, add_generation_prompt, variables. Most are well formed, some are not."""
    draw = random.Random(seed)
    messages = []
    if draw.random() < 0.5:
        messages.append({"role": "system", "content": text(draw, special)})
    for _ in range(draw.randint(1, 3)):
        messages.append({"role": "user", "content": text(draw, special)})
        if draw.random() < 0.3:
            tool_turn(draw, messages, special)
        if draw.random() < 0.9:
            message = {"role": "assistant", "content": text(draw, special)}
            if draw.random() < 0.15:
                message["reasoning_content"] = text(draw, special)
            messages.append(message)
    if draw.random() < 0.08:
        messages.append({"role": draw.choice(["user", "assistant", "system", "critic"]), "content": text(draw, special)})
    request = {"messages": messages, "tools": None, "add_generation_prompt": draw.random() < 0.4, "now": NOW,
               "variables": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}}
    if draw.random() < 0.6:
        request["tools"] = draw.sample(TOOLS, draw.randint(1, 3))
    if draw.random() < 0.2:
        request["variables"]["enable_thinking"] = draw.random() < 0.5
    return request


class FrozenTime(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.fromtimestamp(NOW, timezone.utc).replace(tzinfo=None)


def prepared(messages):
    """What apply_chat_template does first: members that are null are dropped."""
    return [{key: value for key, value in message.items() if value is not None} for message in messages]


def reference(template, request):
    """{text, generation} as transformers renders it, ranges in bytes; {error} when it refuses."""
    from transformers.utils import chat_template_utils
    chat_template_utils.datetime = FrozenTime
    try:
        texts, ranges = chat_template_utils.render_jinja_template(
            conversations=[prepared(request["messages"])], tools=request.get("tools"), documents=request.get("documents"),
            chat_template=template, return_assistant_tokens_mask="endgeneration" in template,
            add_generation_prompt=request.get("add_generation_prompt", False), **request.get("variables", {}))
    except Exception as error:   # any refusal of the library, whatever its class
        return {"error": f"{type(error).__name__}: {error}"}
    whole = texts[0]
    joined = []   # ranges that touch are one
    for a, b in ([len(whole[:a].encode()), len(whole[:b].encode())] for a, b in (ranges[0] if ranges else []) if a < b):
        if joined and joined[-1][1] == a:
            joined[-1][1] = b
        else:
            joined.append([a, b])
    return {"text": whole, "generation": joined}
