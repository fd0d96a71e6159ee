"""All text that a model is shown, and the two words it may answer.

Invariant: pure and versioned. Changing any character of a prompt needs a new `PROMPT_VERSION`, because tuned weights
and cached summaries depend on it. Text from outside is folded to one line, so it cannot open a section of a prompt.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from trsr_lite.cancellation import Cancellation
from trsr_lite.domains import domain as domains
from trsr_lite.engine.interface import Prompt, Segment, Tokenizer
from trsr_lite.errors import DataError, SettingsError
from trsr_lite.feedback import DISLIKE, SKIP
from trsr_lite.io.values import is_visible
from trsr_lite.prompts import attributes
from trsr_lite.records import Item
from trsr_lite.settings import LEAST_TOKENS, LINE_TOKENS, Settings

PROMPT_VERSION = "2"
ANSWERS = ("yes", "no")
NO_SUMMARY = "Nothing is known yet."
DOMAINS = domains.shipped()
ELLIPSIS = "…"
NAMED = 3  # newest items that were disliked, and as many that were skipped, that a prompt names
NAME_TOKENS = 16  # of such a title
CHARACTERS_PER_TOKEN = 16  # longer texts are cut before tokenizing, so that no text can cost much


def fold(text: str) -> str:
    """Text on one line: white space runs become one space, control and format characters go.

    Zero-width joiners stay, which emoji and several scripts need.
    """
    if not text.isprintable():  # else there is nothing to leave out: of white space, only spaces are printable
        for character in set(text):  # few are different, and each goes at once: a text may have a million
            if character.isspace() or character in "\u200c\u200d":
                continue
            if unicodedata.category(character) in ("Cc", "Cf"):
                text = text.replace(character, "")
    return " ".join(text.split())


def shown(item: Item, settings: Settings, *, whole_title: bool = False) -> list[tuple[str, str]]:
    """The (name, folded text) pairs of an item that a model sees, in order.

    Without chosen attributes, what is no text for people is left out. What no line has room for is cut, so that no text
    can cost much; with `whole_title`, the title is not.
    """
    names = settings.attributes or _for_people(item)
    most = settings.item_tokens * CHARACTERS_PER_TOKEN
    found = [(name, _beginning(item.attributes[name], most)) for name in names if name in item.attributes]
    found = [(name, text) for name, text in found if is_visible(text)]
    whole = [name for name, _ in found]
    pairs = [(_beginning(name, most), text) for name, text in found]
    if not pairs:
        wanted = (
            f"none of the attributes {', '.join(settings.attributes)}" if settings.attributes else "no visible text"
        )
        raise DataError(f"item {item.id!r}: it has {wanted}")
    if whole_title:
        title = _title(pairs)
        pairs[title] = (pairs[title][0], fold(item.attributes[whole[title]]))
    return pairs


def _for_people(item: Item) -> Sequence[str]:
    left_out = attributes.hidden(item.attributes)
    return ("title", *(name for name in item.attributes if name != "title" and name not in left_out))


def _beginning(text: str, most: int) -> str:
    """The first `most` characters of the folded text; no more of it is looked at than is needed for them."""
    size = 2 * most
    while len(found := fold(text[:size])) < most and size < len(text):
        size *= 4
    return found[:most]


# Summaries


def opening(domain: str) -> str:
    """The words that every summary begins with; the model goes on from there."""
    words = domains.of(domain)
    return f"The {words.person} {words.likes}"


def block(items: Sequence[Item], settings: Settings, tokenizer: Tokenizer) -> tuple[str, str]:
    """The (message, opening) that asks for the summary of one block."""
    domain = settings.words
    task = f"Summarize the interests of a {domain.person} from the {domain.items} below in one sentence."
    return f"{task}\n\n{_lines(items, settings, tokenizer)}", opening(settings.domain)


def update(summary: str, items: Sequence[Item], settings: Settings, tokenizer: Tokenizer) -> tuple[str, str]:
    """The (message, opening) that asks for a summary carried on over one more block."""
    domain = settings.words
    task = (
        f"Summarize the interests of a {domain.person} in one sentence, from an earlier summary and the {domain.items} "
        f"{domain.did} since then."
    )
    earlier = f"Earlier summary: {_summary(summary, settings, tokenizer)}"
    return f"{task}\n\n{earlier}\n\n{_lines(items, settings, tokenizer)}", opening(settings.domain)


def merge(summaries: Sequence[str], settings: Settings, tokenizer: Tokenizer) -> tuple[str, str]:
    """The (message, opening) that asks for one summary of several, oldest first."""
    domain = settings.words
    task = f"Combine the notes below on one {domain.person}, oldest first, into one sentence that names every interest."
    budget = min(settings.note_tokens, settings.summarizing_room // len(summaries) - LINE_TOKENS)
    notes = "\n".join(f"- {shorten(fold(summary), budget, tokenizer)}" for summary in summaries)
    return f"{task}\n\n{notes}", opening(settings.domain)


def finish(opening: str, continuation: str, *, cut: bool = False) -> str:
    """A summary from its opening and what the model added: one line, complete sentences where there are any.

    Where its tokens ran out (`cut`) in the first sentence, that ends before what was begun last.
    """
    text = fold(f"{opening}{continuation}")
    if text[-1:] in ".!?":
        return text
    end = max(text.rfind(mark) for mark in (". ", "! ", "? "))
    if end > len(opening):
        return text[: end + 1]
    end = max(text.rfind(mark) for mark in (", ", " and ", " ("))
    if cut and end > len(opening):
        text = text[:end].rstrip(",")
        text += ")" * (text.count("(") - text.count(")")) + "."
    return text


# Scoring


@dataclass(frozen=True)
class Scoring:
    """One user's scoring prompt: what all candidates share, and each candidate's own end.

    `tokens` are those of the suffixes; `dropped` counts recent items left out to fit the budget; `candidates` are those
    that are asked of.
    """

    prefix: Prompt
    suffixes: tuple[Prompt, ...]
    tokens: tuple[tuple[int, ...], ...]
    dropped: int
    candidates: tuple[Item, ...]


def scoring(
    summary: str | None,
    recent: Sequence[Item],
    candidates: Sequence[Item],
    settings: Settings,
    tokenizer: Tokenizer,
    *,
    against: Sequence[Item] = (),
    leave_out: bool = False,
    cancel: Cancellation | None = None,
) -> Scoring:
    """The prompts that ask yes or no of each candidate, within `prompt_tokens`.

    One line names the newest of `against`, what was disliked or skipped; without any there is no such line, and none
    where the room is short. The oldest recent items go first, then the last one shrinks. The task, a candidate's title
    and the answer cue are never cut: a candidate too long for that raises `DataError`, or is left out with `leave_out`
    if another one fits. Raises `Cancelled`.
    """
    room = settings.prompt_tokens - 1  # the answer
    suffixes, tokens, lengths = list[Prompt](), list[tuple[int, ...]](), list[int]()
    for item in candidates:
        if cancel:
            cancel.check()
        if endless := _least_tokens(item, settings) > room:
            suffixes.append(())
            tokens.append(())
        else:
            suffixes.append(_suffix(_asked(item, settings, tokenizer), settings))
            tokens.append(tuple(tokenizer.tokenize(suffixes[-1], start=False)))
        lengths.append(_least_tokens(item, settings) if endless else len(tokens[-1]))
    head = _head(_summary(summary, settings, tokenizer) if summary else NO_SUMMARY, settings)
    fixed = len(tokenizer.tokenize((Segment(head),)))
    fitting = [index for index, length in enumerate(lengths) if fixed + LEAST_TOKENS + length <= room]
    if len(fitting) < len(candidates) and not (leave_out and fitting):
        index = next(index for index in range(len(candidates)) if index not in fitting)
        raise _too_long(candidates[index], lengths[index], room)
    room -= fixed + max((lengths[index] for index in fitting), default=0)
    refused = _refused(against, settings, tokenizer)
    if cost := len(tokenizer.encode(refused)) if refused else 0:
        refused, room = (refused, room - cost) if room - cost >= LEAST_TOKENS else ("", room)
    lines = []
    for item in recent:
        if cancel:
            cancel.check()
        lines.append(line(item, settings, tokenizer, settings.item_tokens))
    costs = [len(tokenizer.encode(f"- {text}\n")) for text in lines]
    first = 0
    while first < len(lines) - 1 and sum(costs[first:]) > room:
        first += 1
    kept = lines[first:]
    if kept and sum(costs[first:]) > room:
        kept = [line(recent[-1], settings, tokenizer, max(room - LEAST_TOKENS // 2, LEAST_TOKENS // 2))]
    body = "".join(f"- {text}\n" for text in kept)
    return Scoring(
        (Segment(head + body + refused),),
        tuple(suffixes[index] for index in fitting),
        tuple(tokens[index] for index in fitting),
        first,
        tuple(candidates[index] for index in fitting),
    )


def check(item: Item, settings: Settings, tokenizer: Tokenizer) -> None:
    """Raise `DataError` where no prompt could ask of an item: nothing of it is visible, or its title leaves no room.

    Beside any summary, which is why a title that `scoring` could just ask of without one is refused.
    """
    pairs = shown(item, settings, whole_title=True)
    title = pairs[_title(pairs)][1]
    head, room = Segment(_head("", settings)), settings.prompt_tokens - 1
    if (least := _least_tokens(item, settings)) > room:
        raise _too_long(item, least, room)
    rest = settings.note_tokens + LEAST_TOKENS
    frame = sum(len(segment.text.encode()) for segment in (head, *_suffix("", settings)))
    if frame + rest + max(len(title.encode()), settings.item_tokens) < room:
        return  # a text has no more tokens than bytes
    length = len(tokenizer.tokenize(_suffix(_asked(item, settings, tokenizer), settings), start=False))
    if len(tokenizer.tokenize((head,))) + rest + length > room:
        raise _too_long(item, length, room)


def line(item: Item, settings: Settings, tokenizer: Tokenizer, budget: int, *, whole_title: bool = False) -> str:
    """An item as one line of at most `budget` tokens: `title | name: text | …`, its longest texts shortened first."""
    pairs = shown(item, settings, whole_title=whole_title)
    title = _title(pairs)
    fixed = {title} if whole_title else set()
    texts = [text if index in fixed else text[: budget * CHARACTERS_PER_TOKEN] for index, (_, text) in enumerate(pairs)]
    cap = budget
    while True:
        parts = [shorten(text, cap, tokenizer) if index not in fixed else text for index, text in enumerate(texts)]
        rendered = " | ".join(
            part if name == "title" else f"{name}: {part}" for (name, _), part in zip(pairs, parts, strict=True)
        )
        length = len(tokenizer.encode(rendered))
        if length <= budget or cap <= 1:
            if length <= budget:
                return rendered
            return parts[title] if whole_title else shorten(rendered, budget, tokenizer)
        cap = min(cap - 1, max(1, cap * budget // length))


def shorten(text: str, budget: int, tokenizer: Tokenizer) -> str:
    """The text, or its beginning with an ellipsis in at most `budget` tokens."""
    tokens = tokenizer.encode(text)
    if len(tokens) <= budget:
        return text
    room = max(budget - len(tokenizer.encode(ELLIPSIS)), 1)
    return f"{tokenizer.decode(tokens[:room]).rstrip()}{ELLIPSIS}"


def answer_ids(suffix: Prompt, tokenizer: Tokenizer) -> tuple[int, int]:
    """Token ids of (yes, no) right after a scoring prompt; one distinct token each, or `SettingsError`."""
    before = tokenizer.tokenize(suffix, start=False)
    ids = []
    for answer in ANSWERS:
        after = tokenizer.tokenize((*suffix[:-1], Segment(suffix[-1].text + answer)), start=False)
        if len(after) != len(before) + 1 or after[:-1] != before:
            raise SettingsError(f"this model's tokenizer does not give the answer {answer!r} one token of its own")
        ids.append(after[-1])
    if ids[0] == ids[1]:
        raise SettingsError("this model's tokenizer gives both answers the same token")
    return ids[0], ids[1]


def _least_tokens(item: Item, settings: Settings) -> int:
    """So many tokens a title has at least, by its characters alone: a very long one is never given to a tokenizer."""
    longest = max(map(len, item.attributes.values()))
    if longest < settings.prompt_tokens * CHARACTERS_PER_TOKEN:
        return 0
    pairs = shown(item, settings, whole_title=True)
    return len(pairs[_title(pairs)][1]) // CHARACTERS_PER_TOKEN


def _title(pairs: Sequence[tuple[str, str]]) -> int:
    """The place of the title among what is shown, or of what stands for it."""
    return next((place for place, (name, _) in enumerate(pairs) if name == "title"), 0)


def _head(preference: str, settings: Settings) -> str:
    domain = settings.words
    return (
        f"### Task\nWill this {domain.person} {domain.would} the candidate {domain.item}? Answer yes or no.\n\n"
        f"### Preference\n{preference}\n\n"
        f"### Recent {domain.items}, oldest first\n"
    )


def _refused(against: Sequence[Item], settings: Settings, tokenizer: Tokenizer) -> str:
    """One line that names the newest of what was disliked, and of what was skipped; nothing without any."""
    parts = []
    for said, label in ((DISLIKE, "Disliked"), (SKIP, "Skipped")):
        names = list[str]()
        for item in reversed([item for item in against if item.feedback == said][-NAMED:]):
            pairs = shown(item, settings)
            title = shorten(pairs[_title(pairs)][1], NAME_TOKENS, tokenizer)
            names.append(f'"{title}"')
        if names:
            parts.append(f"{label}: {', '.join(dict.fromkeys(names))}")
    return f"\n{'; '.join(parts)}\n" if parts else ""


def _asked(item: Item, settings: Settings, tokenizer: Tokenizer) -> str:
    return line(item, settings, tokenizer, settings.item_tokens, whole_title=True)


def _suffix(text: str, settings: Settings) -> Prompt:
    noun = settings.words.item
    return (Segment(f"\n### Candidate {noun}\n- {text}"), Segment("\n\n### Answer (yes or no)\n"))


def _too_long(item: Item, length: int, room: int) -> DataError:
    return DataError(
        f"candidate {item.id!r}: its title alone needs about {length} tokens; the whole prompt has {room}",
        hint="shorten the title, or raise `--prompt-tokens`",
    )


def _lines(items: Sequence[Item], settings: Settings, tokenizer: Tokenizer) -> str:
    room = settings.summarizing_room - settings.note_tokens  # an earlier summary may stand beside the items
    budget = min(settings.item_tokens, room // len(items) - LINE_TOKENS)
    return "\n".join(f"- {line(item, settings, tokenizer, budget)}" for item in items)


def is_cut(summary: str, settings: Settings, tokenizer: Tokenizer) -> bool:
    """Whether a scoring prompt has no room for a whole summary."""
    return _summary(summary, settings, tokenizer) != fold(summary)


def _summary(text: str, settings: Settings, tokenizer: Tokenizer) -> str:
    return shorten(_beginning(text, settings.note_tokens * CHARACTERS_PER_TOKEN), settings.note_tokens, tokenizer)
