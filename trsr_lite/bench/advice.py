"""What the measured figures suggest, in words.

Invariant: each line comes from one rule below, which reads nothing but the report. A rule that has nothing to say
returns None. The rules that doubt the figures come first.
"""

from __future__ import annotations

from collections.abc import Callable

from trsr_lite.bench.figures import ONCE, Report, count, figures

UNSTEADY = 1.3  # median against best round
BUSY = 0.1  # share of all processors that other programs used
ENOUGH = 1.05  # faster by less is not worth a thread, a file, a word
WASTE = 0.5  # of the best rate
GOOD_SCORING = 0.9  # of raw prefill
TOGETHER = 1.5  # several texts against one

Rule = Callable[[Report], "str | None"]


def advise(report: Report) -> list[dict[str, str]]:
    """The lines of every rule that fires, each with the `rule` it comes from."""
    found = ((rule.__name__, rule(report)) for rule in RULES)
    return [{"rule": name, "text": text} for name, text in found if text]


def unsteady(report: Report) -> str | None:
    """Rounds of the same work took very different times."""
    spreads = [figure.spread for figure in figures(report) if figure.unit not in ONCE]
    shaky = [spread for spread in spreads if spread > UNSTEADY]
    if not shaky:
        return None
    return (
        f"the figures are unsteady: in {len(shaky)} of {len(spreads)} the best round is up to {max(shaky):.1f} times "
        "as fast as the median; measure again on a quiet machine"
    )


def busy(report: Report) -> str | None:
    """Other programs computed meanwhile."""
    share = report["conditions"]["busy_elsewhere"]
    if share is None or share <= BUSY:
        return None
    return (
        f"the machine was busy: other programs used {share:.0%} of its processors, and the figures are too low; "
        "without `--threads`, fewer threads compute then"
    )


def threads(report: Report) -> str | None:
    """Fewer threads do as well as the most that were measured. On a machine in doubt they would always seem to."""
    if busy(report) or unsteady(report):
        return None
    batch = max(row["batch"] for row in report["prefill"])
    rates = {row["threads"]: row["best"] for row in report["prefill"] if row["batch"] == batch}
    most = max(rates)
    enough = min(number for number, rate in rates.items() if rate * ENOUGH >= max(rates.values()))
    if enough == most:
        return None
    gain = rates[most] / rates[enough] - 1
    are = "is" if enough == 1 else "are"
    change = f"only {gain:.0%} faster" if gain >= 0 else f"{-gain:.0%} slower"
    return f"{count(enough, 'thread')} {are} enough: {most} are {change} (`--threads {enough}`)"


def batches(report: Report) -> str | None:
    """Small batches leave most of the speed unused."""
    most = max(row["threads"] for row in report["prefill"])
    rates = {row["batch"]: row["best"] for row in report["prefill"] if row["threads"] == most}
    best, smallest = max(rates.values()), min(rates)
    limit = min(batch for batch, rate in rates.items() if rate >= WASTE * best)
    if limit == smallest:
        return None
    return (
        f"batches under {limit} tokens waste more than half of the speed: {count(smallest, 'token')} at a time is read "
        f"at {rates[smallest] / best:.2f} of the best rate"
    )


def scoring(report: Report) -> str | None:
    """Ranking is about as fast as reading."""
    ratio = report["scoring"]["ratio"]
    return f"scoring reaches {ratio:.2f} of raw prefill" if ratio >= GOOD_SCORING else None


def slow_scoring(report: Report) -> str | None:
    """Ranking costs more than reading as many tokens."""
    ratio = report["scoring"]["ratio"]
    if ratio >= GOOD_SCORING:
        return None
    why = (
        ""
        if report["model"]["can_rewind"]
        else ": this model cannot rewind, so each candidate evaluates its whole prompt"
    )
    return f"scoring reaches only {ratio:.2f} of raw prefill{why}"


def together(report: Report) -> str | None:
    """Texts that are generated together share the cost of reading the weights."""
    rates = {row["sequences"]: row["best"] for row in report["decode"]}
    most = max(rates)
    if most == 1 or 1 not in rates or rates[most] < TOGETHER * rates[1]:
        return None
    return (
        f"{most} texts together decode {rates[most] / rates[1]:.1f} times as fast as one alone: summarize many users "
        "in one call"
    )


def types(report: Report) -> str | None:
    """One tensor type of the same model is faster than another; only where several were measured on this machine."""
    rates = report["model"]["type_rates"]
    said = []
    for kind, does in (("decode", "decodes"), ("prefill", "reads prompts")):
        ordered = sorted((name for name in rates if kind in rates[name]), key=lambda name: -rates[name][kind])
        if len(ordered) > 1 and rates[ordered[0]][kind] >= ENOUGH * rates[ordered[1]][kind]:
            first, second = ordered[:2]
            times = rates[first][kind] / rates[second][kind]
            said.append(f"{first} {does} {times:.2f} times as fast as {second} here")
    return "; ".join(said) or None


def cache(report: Report) -> str | None:
    """What is kept between calls saves time."""
    cold, warm = (report["recommend"][state]["best"] for state in ("cold", "warm"))
    if warm * ENOUGH >= cold:
        return None
    return (
        f"kept summaries and a loaded model save {1 - warm / cold:.0%}: `recommend` takes {warm:.3g} s instead of "
        f"{cold:.3g} s"
    )


RULES: tuple[Rule, ...] = (unsteady, busy, threads, batches, scoring, slow_scoring, together, types, cache)
