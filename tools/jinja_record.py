#!/usr/bin/env python3
"""Records what Python's Jinja2 makes of many small templates -> tests/data/jinja_recorded.json.

    python3 tools/jinja_record.py > tests/data/jinja_recorded.json     (needs jinja2 3.1)

The environment is the one in which transformers compiles chat templates: trim_blocks and lstrip_blocks on, loop
controls, its own tojson (plain JSON, no HTML escaping), raise_exception, strftime_now. tests/jinja/recorded_test.cpp
demands the same text, or an error where Python fails.
"""
import json
import sys

import jinja2
from jinja2.ext import loopcontrols

VARIABLES = {
    "name": "World", "n": 3, "f": 2.5, "zero": 0, "empty": "", "nothing": None, "yes": True,
    "text": "  Hello, wörld \n", "words": "the quick brown fox", "accents": "ÀÉîõü Ωμέγα Жук Ÿž",
    "list": [3, 1, 2], "names": ["bob", "Alice", "carol", "alice"], "nested": [[1, 2], [3, 4]], "none_list": [],
    "d": {"b": 1, "a": [1, 2, {"x": None}], "c": "it's \"q\" \\ <b> é"},
    "people": [{"name": "Ann", "age": 31, "role": "user"}, {"name": "Bob", "age": 25, "role": "tool"},
               {"name": "Cid", "age": 31}],
    "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"},
                 {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1.0}}}]}],
    "floats": [1.0, 0.1, 1e20, 1e-7, 123456789.125, -0.0, 1e16, 1e15, 5e-324],
}

TEMPLATES = r"""
plain text
Hello {{ name }}!
{{ 1 }} {{ 1.0 }} {{ 'a' }} {{ true }} {{ false }} {{ none }} {{ missing }}
{{ True }} {{ None }} {{ [1, 'a', none, true, 2.0] }} {{ (1,) }} {{ (1, 2) }} {{ {'a': 1, 'b': [none]} }} {{ () }} {{ [] }} {{ {} }}
{{ floats }} {{ floats|tojson }}
{{ 1e3 }} {{ 1_000 }} {{ 0x1f }} {{ 0b101 }} {{ 0o17 }} {{ 1.5e-3 }}
{{ 'it\'s' }} {{ "a\tb\nc" }} {{ '\x41\u00e9\U0001F600' }} {{ 'a\qb' }} {{ 'one' 'two' }}
{{ ["it's", 'say "x"', 'both \' and "', 'back\\slash', 'nl\n', 'é'] }}
{{ 1 + 2 * 3 - 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7.5 % 2 }} {{ -7.5 // 2 }} {{ 2 ** 10 }} {{ 2 ** 3 ** 2 }} {{ 2 ** -1 }}
{{ 1 + true }} {{ 3 * 'ab' }} {{ 'ab' * 2 }} {{ [1] * 3 }} {{ [1] + [2] }} {{ 'a' + 'b' }} {{ 1 ~ 'a' ~ none ~ 2.0 }} {{ 'x' * -1 }}|
{{ 4 / 2 }} {{ 1 / 3 }} {{ 10 // 3.0 }} {{ - 3 }} {{ + 3 }} {{ --3 }} {{ -n }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 'a' != 'b' }} {{ none == none }} {{ {'a': 1} == {'a': 1} }} {{ [1] == (1,) }}
{{ 1 in list }} {{ 9 in list }} {{ 'or' in name }} {{ 'a' in d }} {{ 'z' not in d }} {{ not 1 in list }} {{ 1 in missing }}
{{ true and false }} {{ 0 or 'x' }} {{ '' and 1 }} {{ not true }} {{ not not 1 }} {{ 1 and 2 and 3 }} {{ none or [] or 'z' }}
{{ 'a' if yes else 'b' }} {{ 'a' if zero else 'b' }} {{ 'a' if zero }} {{ 'a' if zero else 'b' if yes else 'c' }}
{{ list[0] }} {{ list[-1] }} {{ list[9] }} {{ list[1:] }} {{ list[:-1] }} {{ list[::-1] }} {{ list[::2] }} {{ list[5:] }} {{ list[-2:] }} {{ list[2:0:-1] }}
{{ name[0] }} {{ name[-1] }} {{ name[1:3] }} {{ name[::-1] }} {{ text[7:13] }} {{ 'wörld'[1] }} {{ 'wörld'[::-1] }} {{ name[9] }}|
{{ d.b }} {{ d['a'] }} {{ d.a[2].x }} {{ d.zzz }} {{ d['zzz'] }}| {{ d.a.0 }} {{ people[0].name }} {{ people[0]['age'] }} {{ messages[1:][0].role }}
{{ d.items()|list }} {{ d.keys()|list }} {{ d.values()|list }} {{ d.get('b') }} {{ d.get('q') }} {{ d.get('q', 5) }} {{ d|length }} {{ d|list }}
{{ name.upper() }} {{ name.lower() }} {{ text.strip() }} {{ text.lstrip() }}|{{ text.rstrip() }}| {{ 'xxaxx'.strip('x') }} {{ 'abc'.lstrip('ab') }} {{ words.title() }} {{ words.capitalize() }}
{{ accents.upper() }} {{ accents.lower() }} {{ accents|upper }} {{ accents|capitalize }}
{{ words.split() }} {{ words.split(' ') }} {{ words.split(' ', 1) }} {{ words.split(none, 2) }} {{ words.rsplit(' ', 1) }} {{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ ' a  b c '.rsplit(none, 1) }} {{ 'a\nb\r\nc'.splitlines() }}
{{ name.startswith('Wo') }} {{ name.endswith('x') }} {{ name.startswith(('a', 'W')) }} {{ name.replace('o', '0') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'ab'.replace('', '-') }}
{{ name.find('r') }} {{ name.find('z') }} {{ 'wörld'.find('l') }} {{ name.count('o') }} {{ ', '.join(['a', 'b']) }} {{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }} {{ 'a1'.isalnum() }} {{ ''.isdigit() }}
{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ '{} and {}'.format(1, 'x') }} {{ '{1}{0}{k}'.format('a', 'b', k=3) }}
{{ '%s is %d' % ('x', 3) }} {{ '%.2f' % 3.14159 }} {{ '%s' % name }} {{ '100%%' % () }} {{ '%r' % 'q' }} {{ "%s-%s"|format(1, 2) }}
{{ text|trim }} {{ 'xxaxx'|trim('x') }} {{ words|title }} {{ words|wordcount }} {{ words|capitalize }} {{ name|lower }} {{ n|string + '!' }}
{{ 'a-b (c) d_e'|title }} {{ "it's john's"|title }} {{ "it's john's".title() }}
{{ list|sort }} {{ names|sort }} {{ names|sort(case_sensitive=true) }} {{ list|sort(reverse=true) }} {{ people|sort(attribute='age')|map(attribute='name')|list }} {{ people|sort(attribute='age,name', reverse=true)|map(attribute='name')|list }}
{{ names|unique|list }} {{ names|unique(case_sensitive=true)|list }} {{ list|min }} {{ list|max }} {{ list|sum }} {{ people|sum(attribute='age') }} {{ names|min }} {{ none_list|max }}|
{{ list|first }} {{ list|last }} {{ name|first }} {{ name|last }} {{ none_list|first }}| {{ list|length }} {{ name|length }} {{ 'wörld'|count }} {{ missing|length }}
{{ list|join }} {{ list|join(', ') }} {{ people|join('-', attribute='name') }} {{ name|join('.') }} {{ [1, none, 'x', 2.0]|join('|') }} {{ missing|join(',') }}
{{ list|reverse|list }} {{ name|reverse }} {{ name|list }} {{ d|dictsort }} {{ d|items|list }} {{ {'B': 2, 'a': 1}|dictsort }} {{ {'B': 2, 'a': 1}|dictsort(by='value') }} {{ {'B': 2, 'a': 1}|dictsort(true, reverse=true) }}
{{ people|map(attribute='name')|list }} {{ people|map(attribute='role', default='none')|list }} {{ names|map('upper')|list }} {{ names|map('replace', 'a', 'o')|list }} {{ nested|map('sum')|list }} {{ nested|map('first')|join }} {{ people|map(attribute='name')|map('lower')|join(' ') }}
{{ list|select('odd')|list }} {{ list|reject('odd')|list }} {{ [0, 1, '', 'a']|select|list }} {{ list|select('gt', 1)|list }} {{ people|selectattr('age', 'equalto', 31)|map(attribute='name')|list }} {{ people|selectattr('role')|list|length }} {{ people|rejectattr('role', 'defined')|list|length }} {{ people|selectattr('role', 'in', ['tool'])|list }}
{{ missing|default('x') }} {{ empty|default('x') }} {{ empty|default('x', true) }} {{ none|default('x') }} {{ missing|d(3) }} {{ nothing|default('x', boolean=true) }}
{{ '12'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ '3.9'|int }} {{ 3.9|int }} {{ -3.9|int }} {{ '1e2'|float }} {{ 'q'|float }} {{ 3|float }} {{ ' 5 '|int }} {{ 'ff'|int(0, 16) }} {{ true|int }}
{{ 2.5|round }} {{ 3.5|round }} {{ 42.55|round(1) }} {{ 42.55|round(1, 'floor') }} {{ 42.51|round(0, 'ceil') }} {{ 42|round }} {{ -3|abs }} {{ -3.5|abs }} {{ 1.005|round(2) }}
{{ 'a\nb\n\nc'|indent }} {{ 'a\nb'|indent(2, true) }} {{ 'a\n\nb'|indent(2, blank=true) }} {{ 'a\nb'|indent('> ', first=true) }} {{ 'a\n'|indent }}|
{{ d|tojson }} {{ d|tojson(indent=2) }} {{ [1, 2.0, none, true, 'é\n\t\x01/']|tojson }} {{ 'é😀'|tojson(ensure_ascii=true) }} {{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }} {{ [1, {'a': 2}]|tojson(separators=(',', ':')) }} {{ []|tojson(indent=2) }} {{ {}|tojson }} {{ {1: 2, none: 3, true: 4}|tojson }}
{{ '<a href="x">&\'</a>'|tojson }} {{ '<a>'|escape }} {{ '<a>'|safe }} {{ "&'\""|e }} {{ messages|tojson }}
{{ [1, 2, 3, 4, 5]|batch(2)|list }} {{ [1, 2, 3]|batch(2, 'x')|list }} {{ people|groupby('age')|map('last')|map('length')|list }} {% for age, group in people|groupby('age') %}{{ age }}:{{ group|map(attribute='name')|join(',') }};{% endfor %}
{{ name is defined }} {{ missing is defined }} {{ missing is undefined }} {{ nothing is none }} {{ name is string }} {{ n is number }} {{ f is float }} {{ n is integer }} {{ yes is boolean }} {{ d is mapping }} {{ list is sequence }} {{ name is sequence }} {{ d is iterable }} {{ n is iterable }} {{ yes is true }} {{ n is true }} {{ zero is false }}
{{ n is odd }} {{ n is even }} {{ n is divisibleby 3 }} {{ n is divisibleby(2) }} {{ n is eq 3 }} {{ n is equalto(4) }} {{ n is gt 2 }} {{ n is ge(3) }} {{ n is lt 2 }} {{ n is in list }} {{ n is in [1, 2] }} {{ n is not in [1, 2] }} {{ name is not string }} {{ 'a' is lower }} {{ 'A' is upper }} {{ range is callable }} {{ d.items is callable }} {{ yes is sameas true }} {{ missing is sequence }}
{{ not missing is defined }} {{ name is string and n is number }} {{ (n is odd) == true }} {{ 'x' if n is odd else 'y' }} {{ n is number|string }} {{ -1|abs }} {{ 1 + -1|abs }} {{ 'a' ~ 'b'|upper }} {{ ('a' ~ 'b')|upper }} {{ [1] + [2]|list }}
{% for i in list %}{{ i }},{% endfor %} {% for i in none_list %}x{% else %}none{% endfor %} {% for i in missing %}x{% else %}missing{% endfor %} {% for c in 'aé' %}[{{ c }}]{% endfor %} {% for k in d %}{{ k }}{% endfor %}
{% for i in list %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {{ loop.previtem }}-{{ loop.nextitem }};{% endfor %}
{% for i in list if i > 1 %}{{ loop.index }}/{{ loop.length }}={{ i }} {% endfor %} {% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for a, b in nested %}{{ a }}{{ b }}{% endfor %} {% for i in range(3) %}{{ loop.cycle('a', 'b') }}{% endfor %}
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %} {% for i in range(2) %}{% for j in range(2) %}{{ loop.depth }}{{ i }}{{ j }} {% endfor %}{% endfor %} {% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}
{{ range(3)|list }} {{ range(1, 4)|list }} {{ range(5, 0, -2)|list }} {{ range(0)|list }} {% set r = range(2) %}{{ r|length }}
{% set x = 1 %}{% for i in list %}{% set x = i %}{{ x }}{% endfor %}{{ x }} {% if true %}{% set x = 9 %}{% endif %}{{ x }}
{% set ns = namespace(a=1, found=false) %}{% for i in list %}{% set ns.a = ns.a + i %}{% if i == 1 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.a }} {{ ns.found }} {{ ns.other }}|
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set t = 1, 2 %}{{ t }} {% set c %}block {{ name }}{% endset %}{{ c }} {% set u | upper %}up {{ name }}{% endset %}{{ u }} {% set e = {} %}{{ e }}
{% macro m(a, b='B', c=none) %}<{{ a }}{{ b }}{{ c }}>{% endmacro %}{{ m(1) }} {{ m(1, 2) }} {{ m(c=3, a=1) }} {{ m() }} {{ m('x')|upper }} {{ m.name }}
{% macro outer() %}{{ inner(1) }}{% endmacro %}{% macro inner(x) %}i{{ x }}{% endmacro %}{{ outer() }} {% macro rec(n) %}{{ n }}{% if n > 0 %}{{ rec(n - 1) }}{% endif %}{% endmacro %}{{ rec(3) }}
{% set g = 'G' %}{% macro m() %}{{ g }}{% set g2 = 1 %}{% endmacro %}{{ m() }}{{ g2 }} {% macro w() %}[{{ caller() }}]{% endmacro %}{% call w() %}inside {{ name }}{% endcall %} {% macro each(l) %}{% for i in l %}{{ caller(i) }}{% endfor %}{% endmacro %}{% call(i) each([1, 2]) %}<{{ i }}>{% endcall %}
{% filter upper %}abc {{ name }}{% endfilter %} {% filter replace('a', 'b')|upper %}aaa{% endfilter %} {% with q = 5, r = 6 %}{{ q }}{{ r }}{% endwith %}{{ q }}|
{# comment #}a{# another
 over lines #}b {% raw %}{{ raw }} {% not %}{% endraw %} {% if false %}x{% elif n == 3 %}y{% else %}z{% endif %} {% if none %}x{% endif %}|
{% set j = joiner(', ') %}{% for i in list %}{{ j() }}{{ i }}{% endfor %} {{ dict(a=1, b=2) }} {{ {'a': {'b': {'c': 1}}}['a']['b'].c }} {{ {'a': 1}.a }} {{ [[1, 2], [3]][0][1] }} {{ ((1 + 2) * 3) }} {{ 'x'.upper().lower() }}
{{ missing.attr }}
{{ missing + 1 }}
{{ none.x }}| {{ (1).x }}| {{ name.zzz }}| {{ nothing.x is defined }}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ 'a' + none }}
{{ 1 / 0 }}
{{ n.x.y }}
{{ none|length }}
{{ 3|list }}
{{ missing() }}
{{ name() }}
{{ 1 < 'a' }}
{{ [1, 'a']|sort }}
{{ raise_exception('told you ' ~ name) }}
{{ missing|tojson }}
{{ 'a' in 5 }}
{% for a, b in list %}{% endfor %}
{% set x.y = 1 %}
{% set list.y = 1 %}
{{ {'a': 1}.items is callable }}{{ 'skip' if false }}|
{{ foo bar }}
{{ 1 + }}
{{ 'unclosed }}
{% if %}x{% endif %}
{% if x %}
{% endfor %}
{% for x %}{% endfor %}
{% unknown %}
{% include 'x' %}
{% import 'x' as y %}
{% extends 'x' %}
{{ x|nofilter }}
{{ x is notest }}
{{ (1, 2 }}
{{ [1, 2) }}
{{ d[1:2:3:4] }}
{# open
{{ 'a' is string is string }}
{% macro m(a=1, b) %}{% endmacro %}
{{ m(a=1, 2) }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %j %A %B %%') }} {{ strftime_now('%d %b %Y') }}
{{ "a" ~ 1 + "2" }} {{ 2 * 3 ~ 4 }} {{ 1 ~ 2 * 3 }} {{ not 1 == 2 }} {{ not (1 == 2) and true }} {{ 1 if false else 2 + 3 }} {{ 3 - 1 - 1 }} {{ 8 / 2 / 2 }} {{ 2 + 3 == 5 and 1 < 2 }}
{{ {'a': 1, 'a': 2} }} {{ {'x': n, name: 1} }} {{ {1: 'a'}[1] }} {{ {'k': [1, 2]}.k[-1] }} {{ [1, 2,] }} {{ {'a': 1,} }}
{{ ''|default('e') }}|{{ ' a b '|replace(' ', '') }} {{ 'a.b.c'.split('.')[-1] }} {{ 'k: v'.split(': ', 1)[1]|trim }} {{ ['a', 'b']|join(' and ')|upper|length }}
{{ messages[0]['content'] }}{% if messages[2].content is none %}null{% endif %} {{ messages[-1].tool_calls[0].function.arguments|tojson }} {{ messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|first }} {{ (messages|last).role }} {{ messages|length > 2 }}
""".strip("\n").split("\n")

# Whitespace control needs several lines.
BLOCKS = [
    "a\n{% if true %}\nb\n{% endif %}\nc\n",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc",
    "a\n  {%- if true -%}  \n  b\n  {%- endif %}\nc",
    "a\n  {%+ if true %}\n  b\n  {%+ endif +%}\nc",
    "a {% if true %} b {% endif %} c\n\n",
    "  {{ name }}  \n  {{- name -}}  \n  {{ name }}\n",
    "x\n{# c #}\ny\n  {# c #}  \nz {#- c -#} \n w",
    "{% for i in list %}\n  - {{ i }}\n{% endfor %}\nend",
    "{% for i in list -%}\n  {{ i }}\n{%- endfor %}",
    "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc\r\n",
    "\n\n{{ name }}\n\n\n",
    "{% set x = 1 %}\n\n{% set y = 2 %}\nz",
    "{%- set x = 1 -%}\n   \n{{ x }}",
    "\t{% if true %}x{% endif %}\n\t{% if true %}y{% endif %}",
    "a\n{% raw -%}\n  {{ x }}\n{%- endraw %}\nb",
    "a\n  {% raw %}\n  {{ x }}\n  {% endraw %}\nb",
    "{% macro m(x) -%}\n  [{{ x }}]\n{%- endmacro -%}\n{{ m(1) }}{{ m(2) }}\n",
    "{% if true %}a{% endif %}\n\n{% if true %}b{% endif %}\n",
    "{{- '' }}\n x {{ '' -}}\n y",
    "{%- if messages[0]['role'] == 'system' %}\n    {{- messages[0]['content'] }}\n{%- endif %}\n{%- for m in messages %}\n    {{- '<' + m.role + '>' }}\n{%- endfor %}\n",
    "{% generation %}\nx\n{% endgeneration %}\ny",
    "x{#- a #}\n{#b#}y{#-#}\nz",
    "{% if true %}  {% if true %}x{% endif %}  {% endif %}|",
    "a  {# c #}\n  {# d #}e",
]


class Generation(jinja2.ext.Extension):
    """{% generation %} of transformers, as far as the text goes."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def environment():
    import datetime

    env = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.datetime(2025, 12, 2, 3, 4, 5).strftime(form)
    return env


def main():
    env = environment()
    cases = []
    for template in TEMPLATES + BLOCKS:
        case = {"template": template}
        try:
            # Python's generators print their address: templates do not print them, and neither do we record it.
            case["text"] = env.from_string(template).render(json.loads(json.dumps(VARIABLES)))
        except Exception as error:  # noqa: BLE001: any failure of Python is a refusal for us
            case["error"] = type(error).__name__
            case["message"] = str(error)
        assert "object at 0x" not in case.get("text", ""), template
        cases.append(case)
    json.dump({"jinja2": jinja2.__version__, "variables": VARIABLES, "cases": cases}, sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
