"""Whether a history is in a language that a base reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import runner
from trsr_lite import Item
from trsr_lite.prompts import languages

TEXTS = {
    "English": "How to keep a rye starter alive. The quiet side of the moon. What the council voted for.",
    "German": "Wie man einen Sauerteig am Leben hält. Die stille Seite des Mondes und der Winter im Norden.",
    "French": "Comment garder un levain en vie. La face cachée de la lune et les marées dans le nord.",
    "Spanish": "Cómo cuidar la masa madre en invierno. La cara oculta de la luna y las mareas del norte.",
    "Hindi": "सर्दियों में खमीर को कैसे जीवित रखें। चाँद का शांत पक्ष और उत्तर की ज्वार भाटा की कहानी",
    "Korean": "겨울에 효모를 살리는 방법과 달의 조용한 면 그리고 북쪽 바다의 조수 이야기와 오래된 등대를 지키는 사람",
    "Japanese": "冬にパン種を生かしておく方法と月の静かな側面、そして北の海の潮の満ち引きについての話と灯台の一日",
    "Chinese": "冬天如何养活酵母以及月亮安静的一面还有北方海洋潮汐的故事和老灯塔看守人的一天与清晨市场",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_language_is_told_by_script_or_common_words(name: str) -> None:
    assert languages.guess(TEXTS[name]) == name


@pytest.mark.parametrize(
    "text", ["", "Rovers", "Vermeer Rembrandt Hopper Kahlo Magritte Turner Monet Klimt", "42 " * 60]
)
def test_nothing_is_said_of_what_is_not_sure(text: str) -> None:
    assert languages.guess(text) is None


def test_only_bases_that_read_english_alone_are_mentioned() -> None:
    history = [Item("1", {"title": TEXTS["German"]})]
    assert languages.unread(history, "smollm2") == "German"
    assert languages.unread(history, "HuggingFaceTB/SmolLM2-135M") == "German"
    assert languages.unread(history, "Qwen2.5-0.5B") is None
    assert languages.unread([Item("1", {"title": TEXTS["English"]})], "smollm2") is None


def test_a_command_says_it_once_in_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / "ich.json"
    items = [{"id": str(number), "title": text} for number, text in enumerate(TEXTS["German"].split(". "))]
    user.write_text(json.dumps({"history": items, "candidates": [{"id": "9", "title": "Mond"}]}))
    monkeypatch.setattr(languages, "ENGLISH_ONLY", (tiny.stem,))
    shown = runner(capsys, "prompt")("--user", user, "-m", tiny)
    assert shown.code == 0
    assert shown.err.count("the history looks German") == 1
    assert len(shown.err.splitlines()) == 1
