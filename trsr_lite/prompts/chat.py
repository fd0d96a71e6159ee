"""A model's own chat template, rendered once around a mark where untrusted text will go.

Invariant: only what the template itself wrote may become control tokens; the message is never part of what is rendered.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from trsr_lite.engine.interface import Prompt, Segment
from trsr_lite.errors import ModelError
from trsr_lite.prompts import chat_rendering

MARK = "TRSR-LITE-MESSAGE"
THOUGHTS = re.compile(r"(\s*<think>.*?</think>)+", re.DOTALL)


class Frame(NamedTuple):
    """Template text before and after the one user message."""

    before: str
    after: str

    def around(self, message: str, opening: str) -> Prompt:
        """A prompt that ends in `opening`, the words the answer begins with."""
        return (
            Segment(self.before, special=True),
            Segment(message),
            Segment(self.after, special=True),
            Segment(opening),
        )


@functools.lru_cache(maxsize=8)
def frame(template: str | None, bos: str, eos: str) -> Frame:
    """The frame of a template; a base model without one gets its message followed by an empty line."""
    if template is None:
        return Frame("", "\n\n")
    text = chat_rendering.render(
        template,
        {
            "messages": [{"role": "user", "content": MARK}],
            "tools": None,
            "documents": None,
            "add_generation_prompt": True,
            "enable_thinking": False,  # thinking models then render an empty think block
            "bos_token": bos,
            "eos_token": eos,
        },
    )
    before, mark, after = text.partition(MARK)
    if not mark or MARK in after:
        raise ModelError("the model's chat template does not show the user's message exactly once")
    if after.count("<think>") > after.count("</think>"):
        raise _aloud()
    return Frame(before, after)


def without_thoughts(text: str) -> str:
    """Generated text without the think blocks it begins with; an unfinished one is an error, not a summary.

    Further on, the letters `<think>` are text: an item may have been about them.
    """
    text = THOUGHTS.sub("", text, count=1) if THOUGHTS.match(text) else text
    if text.lstrip().startswith("<think>"):
        raise _aloud()
    return text


def _aloud() -> ModelError:
    return ModelError(
        "the summarizer thinks aloud and did not finish",
        hint="use an instruct model without a thinking mode, or raise `summary_tokens`",
    )
