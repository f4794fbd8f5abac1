#!/usr/bin/env python3
"""Writes what transformers renders for the committed chat templates and for small cases of the language.

    $(scripts/peers_env) scripts/make_template_goldens.py

tests/fixtures/templates/goldens.json: conversations and their texts for each *.jinja beside it.
tests/fixtures/templates/cases.json: one line of Jinja each, with the text or the refusal.
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "peers"))
import chat_cases

FIXTURES = ROOT / "tests" / "fixtures" / "templates"
MESSAGES = [{"role": "system", "content": " Sois bref. "}, {"role": "user", "content": "  Où est l'été ?\n"},
            {"role": "assistant", "content": "Là-bas\u00a0!", "tool_calls": [{"id": "abc", "function": {
                "name": "f", "arguments": {"b": 1, "a": [1, 2.0, None, True], "é": "\"q\" \\ \n\u0007\u007f\U0001f600"}}}]}]
VARIABLES = {"s": "Straße ŒUVRE", "n": 7, "f": 2.5, "yes": True, "nothing": None, "words": ["b", "a", "C", "b"],
             "d": {"k": 1, "items": 2, "x y": [1, "two", {"z": None}]}, "sigma": "ΟΔΟΣ ΣΑΣ", "rows": [
                 {"n": "x", "v": 3}, {"n": "Y", "v": 1}, {"n": "z", "v": 2, "w": {"deep": True}}]}
EXPRESSIONS = r"""
1 + 2 * 3 - 4 / 2
7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 % -3
2 ** 10, 2 ** -1, -2 ** 2, 2 ** 3 ** 2
1 / 3, 1e16, 1e15, 123456789.123, 1e-5, 0.0001, 2.0, 1e22, 5e-324
0.1 + 0.2, 7.5 // 2, -7.5 % 2, 1.5 * 2
True + True, true == 1, 1 == 1.0, "1" == 1, none == false
1 < 2 < 3, 3 > 2 > 2, "a" < "b", [1, 2] < [1, 3], "é" > "z"
n > 3 and s, nothing or "else", not n, not not n
"é" in s, "tra" in s, "b" in words, "k" in d, "q" not in d, 2 in [1, 2.0]
s if n > 3 else "no"
"x" if false
("x" if false) is defined
s ~ n ~ f ~ yes ~ nothing ~ missing ~ words ~ d
"a" "b" 'c'
"tab\tnl\nq\"\' \x41\u00e9\U0001f600 \q \101"
s[0], s[-1], s[2:5], s[::-1], s[:-3], s[10:2], s[-3:], s[::3]
words[1:], words[-2:], words[::-1], words[5:], words[0], words[9]
d.k, d['k'], d.items is callable, d['items'], d["x y"][2].z, d.missing
messages[0]['role'], messages[0].content, messages[-1].role
s.upper(), s.lower(), s.title(), s.capitalize()
sigma.lower(), "İ".lower(), "ﬁ".upper(), "ǆ".title()
"  x ".strip() ~ "|" ~ "xxaxx".strip("x") ~ "|" ~ "abc".lstrip("ab") ~ "|" ~ " a ".rstrip() ~ "|"
"a b  c".split(), "a,b,,c".split(","), "a b c".split(" ", 1), "a-b-c".rsplit("-", 1), " a b ".split(none, 1)
"a\nb\r\nc\n".splitlines(), "a=b=c".partition("="), "a=b=c".rpartition("="), "abc".partition("x")
s.startswith("Str"), s.endswith(("x", "E")), s.find("ß"), s.find("zz"), s.count("S"), "".join(words)
"aaa".replace("a", "b", 2), "aaa".replace("", "-"), "-".join(["x", "y"])
"prefix_x".removeprefix("prefix_"), "x.py".removesuffix(".py"), "x".removesuffix("y")
"ab".center(7, "*"), "ab".ljust(4) ~ "|", "ab".rjust(4) ~ "|"
"12".isdigit(), "".isdigit(), "ab".isalpha(), "a1".isalnum(), " ".isspace(), "AB1".isupper(), "ab".islower()
"%s and %d: %.2f%% %r" % ("x", 3, 2.456, "it's")
"{} {} {name}".format("a", "b", name="c"), "{1}{0}{{}}".format(1, none)
"{} {1}".format("a", "b")
d.items(), d.keys(), d.values()
d.get("k"), d.get("zz"), d.get("zz", 5)
words.index("a"), words.count("b")
words | length, s | length, d | length, missing | length
words | first, words | last, [] | first, "" | first, s | first
words | join, words | join(", "), [1, 2.5, none, true] | join("/"), rows | join(",", attribute="n")
words | sort, words | sort(reverse=true), words | sort(case_sensitive=true), rows | sort(attribute="v") | map(attribute="n") | list
words | unique | list, [1, 1.0, true, "1"] | unique | list
words | reverse | list, "abc" | reverse
[3, 1, 2] | max, [3, 1, 2] | min, rows | sum(attribute="v"), words | min, [] | max
words | map("upper") | list, words | map("replace", "b", "z") | join, rows | map(attribute="w.deep", default="-") | list
rows | selectattr("v", "gt", 1) | map(attribute="n") | list, rows | rejectattr("w") | list | length
rows | selectattr("n", "equalto", "x") | list, rows | selectattr("w", "defined") | list | length
[1, 2, 3, 4] | select("even") | list, [1, 2, 3] | reject("odd") | list, [0, 1, "", "a"] | select | list
words | select("in", ["a", "b"]) | list, words | batch(3) | list, words | batch(3, "-") | list
d | items | list, d | dictsort, {"B": 1, "a": 2} | dictsort, {"B": 1, "a": 2} | dictsort(true), {"B": 2, "a": 1} | dictsort(by="value")
s | upper, s | lower, s | capitalize, s | title, "hello wOrld-foo (bar" | title
"  x " | trim ~ "|", "xxaxx" | trim("x"), 5 | trim
s | replace("S", "z"), "aaa" | replace("a", "b", 2), 5 | string + "x"
missing | default("d"), "" | default("d"), "" | default("d", true), nothing | default("d"), missing | d
"12" | int, "12.7" | int, "x" | int, "x" | int(3), " 12 " | int, 3.9 | int, true | int, nothing | int
"1.5" | float, "x" | float, "1e3" | float, 3 | float, -3 | abs, -2.5 | abs
2.5 | round, 3.5 | round, 2.567 | round(2), 2.1 | round(0, "ceil"), 2.9 | round(method="floor")
"a\nb\n\nc" | indent, "a\nb\n\nc" | indent(2, true), "a\n\nb" | indent(2, blank=true), "a\nb" | indent("> ", true)
"ab" | center(7) ~ "|", "a b c" | wordcount
"<a href='x'>&\"" | e
"%s-%s" | format("a", 1), [1, [2, "x"]] | string, (1,) | string, () | string
[[1, 2], [3]] | tojson, d | tojson, messages[2].tool_calls | tojson, "é<>&'" | tojson
messages[2].tool_calls | tojson(indent=2), {} | tojson(indent=4), [] | tojson(indent=4), [[]] | tojson(indent=1)
messages[2].tool_calls | tojson(ensure_ascii=true), d | tojson(separators=(",", ":")), {"b": 1, "a": 2} | tojson(sort_keys=true)
{1: "a", true: "b", none: "c", 2.5: "d"} | tojson, 1e22 | tojson, 1.0 | tojson, (1, 2) | tojson
{"a": 1, "a": 2}, {1: 2, "x": [none, true]}, {}, [], (), (1,), ("a", 'it''s'), "it's \"both\""
["\n", "\t", "\\", "\x00", "\x7f", "é", "\u200b", "\U0001f600", "'", '"', "\u00a0", "\ue000"]
x is defined, n is defined, nothing is none, n is number, s is string, d is mapping, words is sequence
s is sequence, d is sequence, d is iterable, n is iterable, missing is iterable, words is iterable, d.items is iterable
yes is true, n is true, yes is boolean, n is boolean, n is integer, f is float, yes is number, yes is integer
3 is odd, 4 is even, 9 is divisibleby 3, 9 is divisibleby(2), n is eq 7, n is equalto(7), n is gt 3, "a" is in "abc"
n is not defined, missing is not defined, missing is undefined, nothing is not none, none is sameas none
"ABC" is upper, "abc" is lower, d.get is callable, n is callable
range(5) | list, range(2, 5) | list, range(5, 0, -2) | list, range(3), range(0, 6, 2), range(4)[-1], range(3) | length
dict(a=1, b="x"), dict([["k", 2]], c=3), namespace(a=1).a, namespace({"z": 3}).z
nothing ~ "", [nothing, missing is defined], true, false, none, True, False, None
words + ["x"], [1] * 3, "ab" * 2, 2 * "x", "a" * 0, (1, 2) + (3,)
[1, 2] == [1, 2], [1] == (1,), {"a": 1} == {"a": 1.0}, missing == nothing, missing == other_missing
s.missing_attribute, nothing.anything, n.anything, nothing["x"], 5["x"]
words | list | string | length, words[-1] | upper, (words | first).upper(), "x" | upper ~ "y"
1 if n else 2 if f else 3, (1 if 0 else 2) + 1, [1 if yes else 2]
"a" ~ 1 + 2, 1 + 2 ~ "a", not 1 == 2, -n | abs, -3 ** 2, 3 - -2, +3, - n
"abc"|first|upper, [["a","b"],["c"]]|map("first")|list, [["a","b"],["c"]]|map("join", "-")|list
s | safe
[1, 2, 3] | sum, [[1], [2]] | sum(start=[]), words | list == words
strftime_now("%Y-%m-%d %H:%M:%S %B %b %A %a %j %%"), joiner()() ~ "|"
"" is defined, 1.0 is integer, 1.5 == 1.5, 10 ** 18, 9007199254740993 + 0, 1_000
messages | map(attribute="role") | join(","), messages | length, messages[1:] | length, messages[0:1][0].role
"\u3042".upper(), "a\u0301b"[1:2] | length, "\U0001f600\U0001f601"[1], "日本語"[::-1]
"x" in missing, missing | list, missing | join, missing | items | list, d | length > 2
missing + 1
missing.attribute
missing["item"]
d.missing.more
"a" + 1
1 + "a"
nothing + "a"
words + "x"
-"a"
1 / 0
5 % 0
"abc" | tojson | int | missing_filter
n is missing_test
n()
missing()
words.append("x")
d.update({"a": 1})
for
{{ nested }}
1 +
[1, 2
"unclosed
a b
range(200000)
raise_exception("no")
1 < "a"
[1] in "abc"
{[1]: 2}
1 in nothing
d.items | length
words | sort(attribute="x.y")
none | length
5 | join
"x" | round
"abc" % 5
"%d" % "x"
missing | tojson
d.items | tojson
""".strip("\n").split("\n")
STATEMENTS = [
    "a\n{% if true %}\n  b\n{% endif %}\nc\n", "  {% if true %}x{% endif %}  \n  y", "a {{- 'b' -}} c {{ 'd' }} e",
    "a\n   {%- if true -%}  \n b {%- endif %}\n c", "x {%+ if true %} y{% endif +%}\nz", "{{ 1 }}\n\n{{ 2 }}\n\n",
    "{# comment #}\nx{#- c -#}  y {# a\nb #}z", "  {# c #}\n  x", "\t{% set a = 1 %}\n{{ a }}\r\nb\rc",
    "{% raw %}{{ x }} {% if %}{% endraw %} y", "a {%- raw -%}  {{ b }}  {%- endraw -%}  c",
    "{% for x in words %}{{ loop.index }}/{{ loop.length }}:{{ x }}{{ ',' if not loop.last }}{% endfor %}",
    "{% for x in words %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.depth }} {% endfor %}",
    "{% for x in words %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {{ loop.cycle('o', 'e') }} {{ loop.changed(x) }};{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}", "{% for k, v in d | items %}{{ k }}{% endfor %}",
    "{% for a, (b, c) in [[1, [2, 3]]] %}{{ a }}{{ b }}{{ c }}{% endfor %}", "{% for c in 'añb' %}{{ c }}.{% endfor %}",
    "{% for x in [] %}x{% else %}none{% endfor %}", "{% for x in words if x == 'b' %}{{ loop.index }}{{ x }}{% else %}no{% endfor %}",
    "{% for x in missing %}x{% else %}none{% endfor %}", "{% for k in d %}{{ k }},{% endfor %}",
    "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in range(2) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{% endfor %}",
    "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}",
    "{% set ns = namespace(x=1) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns.y is defined }}",
    "{% if false %}a{% elif n == 7 %}b{% else %}c{% endif %}{% if missing %}d{% elif false %}e{% else %}f{% endif %}",
    "{% if true %}{% set y = 3 %}{% endif %}{{ y }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set t = 1, 2 %}{{ t }}",
    "{% set x %}a {{ n }} b{% endset %}{{ x | upper }}", "{% set x | upper | replace('A', 'z') %}abc{% endset %}{{ x }}",
    "{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(1, c=9) }} {{ m(b=5, a=6) }} {{ m() }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}",
    "{% macro m(a) %}x{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}x{% endmacro %}{{ m(b=2) }}",
    '{{ "it\'s a-b  c_d été 3.5 – ²½ a\u0301b" | wordcount }}{{ "" | wordcount }}{{ nothing | wordcount }}',
    "{% macro m(a, b=2) %}{{ varargs }}{% endmacro %}{{ m.name }} {{ m.arguments }} {{ m.catch_kwargs }} {{ m.catch_varargs }} {{ m.caller }} {{ m.nope is defined }}",
    "{% macro m() %}{{ caller() }}{{ kwargs }}{% endmacro %}{{ m.arguments }} {{ m.caller }} {{ m.catch_kwargs }}",
    "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(5) }}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in {{ n }}{% endcall %}",
    "{% macro m() %}[{{ caller(1, 2) }}]{% endmacro %}{% call(a, b) m() %}{{ a + b }}{% endcall %}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ m() }}", "{{ m() }}{% macro m() %}x{% endmacro %}",
    "{% filter upper %}abc {{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aXa{% endfilter %}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}", "{% set messages = messages[1:] %}{{ messages[0].role }}",
    "{% generation %}x{% set q = 1 %}{% endgeneration %}{{ q is defined }}", "{% print n %}", "{% for x in n %}{% endfor %}",
    "{% if %}{% endif %}", "{% endif %}", "{% if true %}", "{% for %}{% endfor %}", "{% set %}", "{% unknown %}", "{% set 1 = 2 %}",
    "{% for x in words %}{% endif %}", "{{ }}", "{% break %}", "{{ 'a' }", "{% macro %}{% endmacro %}", "{% set d.x = 1 %}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}", "{% set a, b = [1] %}", "{{ loop.index }}", "{% for a, b in [1] %}{% endfor %}",
    "{{ {'a': {'b': 1}}.a.b }}{{ {'}}': 1} }}", "{{ '%}' }}{{ '}}' }}", "{{'a'if true else'b'}}", "{{ [1,2,3,][1] }}{{ {'a':1,}.a }}",
    "{% for x in rows | sort(attribute='n') %}{{ x.n }}{% endfor %}", "{%for x in words%}{{x}}{%endfor%}", "{{ x.y is defined }}",
    "{% set g = words | map('upper') %}{{ g | list }}{{ g | list }}", "{% set g = words | select %}{{ g | first }}{{ g | list }}",
    "{% for x in words %}{% set loop_words = loop.index %}{% endfor %}{{ loop_words is defined }}",
    "{{ messages | selectattr('role', 'in', ['user', 'system']) | map(attribute='content') | map('trim') | join('|') }}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}",
    "{% set sep = joiner('; ') %}{% for x in words %}{{ sep() }}{{ x }}{% endfor %}",
    "{{ {'role': 'x'} in [{'role': 'x'}] }}{{ messages[0] == messages[0] }}{{ messages[0] != messages[1] }}",
]


def main():
    cases = []
    for source in ["{{ " + line + " }}" for line in EXPRESSIONS] + STATEMENTS:
        request = {"messages": MESSAGES, "variables": VARIABLES}
        found = chat_cases.reference(source, request)
        cases.append({"template": source, **({"text": found["text"]} if "text" in found else {"error": found["error"]})})
    (FIXTURES / "cases.json").write_text(json.dumps({"messages": MESSAGES, "variables": VARIABLES, "now": chat_cases.NOW,
                                                     "cases": cases}, ensure_ascii=True, indent=1) + "\n")
    goldens = []
    for path in sorted(FIXTURES.glob("*.jinja")):
        for seed in range(24):
            request = chat_cases.conversation(seed)
            found = chat_cases.reference(path.read_text(encoding="utf-8"), request)
            goldens.append({"template": path.name, **request, **found})
    (FIXTURES / "goldens.json").write_text(
        "[\n" + ",\n".join(json.dumps(golden, ensure_ascii=True) for golden in goldens) + "\n]\n")
    refused = sum("error" in case for case in cases)
    print(f"{len(cases)} cases ({refused} refused), {len(goldens)} goldens ({sum('error' in g for g in goldens)} refused)")


if __name__ == "__main__":
    main()
