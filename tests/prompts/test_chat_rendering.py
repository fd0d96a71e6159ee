"""Templates of strangers: rendered as transformers renders them, and never without end."""

from __future__ import annotations

import pytest

from tests.tiny_gguf import CHATML_TEMPLATE
from trsr_lite import ModelError
from trsr_lite.prompts import chat, chat_rendering

LOOP = "{% for message in messages %}{{ message.content }}{% endfor %}"
ENDLESS = {
    "a loop in a loop": "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
    "a silent loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a doubled string": "{% set n = namespace(s='a') %}{% for i in range(70) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
    "doubled step by step": "{% set s = 'aaaaaaaa' %}" + "{% set s = s ~ s %}" * 60 + "{{ s }}",
    "a long product": "{{ 'a' * 10 ** 10 }}",
    "a large number": "{{ 9 ** (9 ** 9) }}",
    "a wide field": "{{ '%9999999999d' % 1 }}",
    "a wide filter": "{{ 'a' | center(9999999999) }}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "lists of lists": "{% set l = [1] %}" + "{% set l = [l, l] %}" * 60 + "{{ l | tojson }}",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_without_end_is_one_line(name: str) -> None:
    assert not chat_rendering.is_plain(ENDLESS[name])
    with pytest.raises(ModelError, match="chat template") as raised:
        chat.frame(ENDLESS[name] + LOOP, "", "")
    assert "show the user's message" not in str(raised.value)
    assert len(str(raised.value)) < 500 and "\n" not in str(raised.value)


def test_a_template_of_many_characters_is_refused_unread() -> None:
    with pytest.raises(ModelError, match="characters"):
        chat.frame("a" * (chat_rendering.LARGEST + 1), "", "")


@pytest.mark.parametrize(
    "template",
    ["{{ ''.__class__ }}", "{{ messages.append(1) }}", "{% set c = cycler %}{{ c.__init__.__globals__ }}"],
)
def test_no_template_sees_python(template: str) -> None:
    """What is unsafe is undefined, or an error."""
    try:
        assert chat_rendering.render(template, {"messages": []}) in ("", "None")
    except ModelError as error:
        assert "unsafe" in str(error) or "not safely" in str(error)


def test_the_tag_for_generated_text_changes_nothing() -> None:
    template = "{% for m in messages %}<{% generation %}{{ m.content }}{% endgeneration %}>{% endfor %}"
    assert chat.frame(template, "", "") == ("<", ">")


def test_tools_and_documents_are_none() -> None:
    assert chat.frame("{% if tools is none and documents is none %}a{% endif %}" + LOOP, "", "").before == "a"


def test_json_has_no_escapes_of_html() -> None:
    assert chat.frame("{{ '<é>' | tojson }}" + LOOP, "", "").before == '"<é>"'


def test_a_template_with_variables_is_rendered_in_a_child_alike() -> None:
    template = "{% set opening = bos_token ~ 'a' %}{{ opening }}" + LOOP + "{{ messages[0].content | length }}"
    assert not chat_rendering.is_plain(template)
    values = {"messages": [{"role": "user", "content": "né"}], "bos_token": "<s>"}
    assert chat_rendering.render(template, values) == chat_rendering.render_here(template, values) == "<s>ané2"


def test_usual_templates_need_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_rendering, "_render_apart", lambda *_: pytest.fail("starts a process"))
    assert chat_rendering.is_plain(CHATML_TEMPLATE)
    chat_rendering.render(CHATML_TEMPLATE, {"messages": [{"role": "user", "content": "x"}]})


def test_an_error_that_the_template_raises_is_told() -> None:
    for template in (
        "{{ raise_exception('no system role') }}",
        "{% set a = 1 %}{{ raise_exception('no system role') }}",
    ):
        with pytest.raises(ModelError, match="no system role"):
            chat.frame(template, "", "")


def test_of_named_templates_the_default_is_taken() -> None:
    named = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    assert chat_rendering.chosen(named) == "d" == chat_rendering.chosen({"rag": "r", "default": "d"})
    assert chat_rendering.chosen([{"name": "rag", "template": "r"}]) == "r"
    assert chat_rendering.chosen("x") == "x" and chat_rendering.chosen(None) is None is chat_rendering.chosen([])
