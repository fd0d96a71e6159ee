"""Writes `texts/software.txt`: names, sections and descriptions of free software, from Debian's package index.

    apt-get -o Acquire::Languages=en update && python examples/default_model/software.py

Needs a Debian system. The result is kept in the repository, because the index changes with every release. Subjects, at
the ends of its lines, are written by hand and stay; packages that have none yet are named, and left out until a line of
theirs has one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TEXTS = Path(__file__).parent / "texts" / "software.txt"
LISTS = Path("/var/lib/apt/lists")
MOST = 14  # packages of a topic
DESCRIPTION = 160  # characters
NAMED = re.compile(r"\b(by|from|of) [A-Z]\w+ [A-Z]\.? ?[A-Z]?\w+|'s \"")  # texts about their authors
AUXILIARY = re.compile(
    r"^(lib|fonts-|task-|r-cran)|-(dev|docs?|dbg|dbgsym|data|common|core|bin|tools|utils|extras?|plugins?)$"
)

# What Debian's tag says, and what a person would call it.
TOPICS = {
    "game::strategy": "games/strategy games",
    "game::arcade": "games/arcade games",
    "game::puzzle": "games/puzzle games",
    "game::board": "games/board games",
    "game::fps": "games/shooters",
    "game::rpg": "games/role-playing games",
    "game::adventure": "games/adventure games",
    "game::simulation": "games/simulators",
    "game::card": "games/card games",
    "game::platform": "games/jump and run games",
    "game::tetris": "games/falling block games",
    "game::toys": "games/toys",
    "field::astronomy": "science/astronomy",
    "field::biology": "science/biology",
    "field::chemistry": "science/chemistry",
    "field::physics": "science/physics",
    "field::mathematics": "science/mathematics",
    "field::statistics": "science/statistics",
    "field::geography": "science/maps",
    "field::linguistics": "science/linguistics",
    "field::medicine": "science/medicine",
    "field::electronics": "science/electronics",
    "field::finance": "office/bookkeeping",
    "field::religion": "education/religion",
    "science::plotting": "science/plotting",
    "use::learning": "education/learning",
    "works-with::dictionary": "education/dictionaries",
    "sound::player": "sound/music players",
    "sound::mixer": "sound/mixers",
    "sound::midi": "sound/MIDI",
    "sound::speech": "sound/speech",
    "sound::recorder": "sound/recording",
    "works-with::music-notation": "sound/sheet music",
    "works-with::video": "video/video",
    "works-with::image:vector": "graphics/vector drawing",
    "hardware::camera": "graphics/photography",
    "works-with::3dmodel": "graphics/3D modelling",
    "use::printing": "office/printing",
    "works-with::pim": "office/calendars",
    "use::typesetting": "office/typesetting",
    "works-with-format::pdf": "office/PDF",
    "accessibility::input": "desktop/accessibility",
    "x11::window-manager": "desktop/window managers",
    "x11::terminal": "desktop/terminals",
    "x11::screensaver": "desktop/screen savers",
    "web::browser": "internet/web browsers",
    "web::server": "internet/web servers",
    "mail::user-agent": "internet/mail readers",
    "mail::filters": "internet/spam filters",
    "protocol::irc": "internet/chat",
    "protocol::bittorrent": "internet/file sharing",
    "protocol::voip": "internet/telephony",
    "network::vpn": "networks/VPN",
    "network::firewall": "networks/firewalls",
    "protocol::dns": "networks/DNS",
    "works-with::network-traffic": "networks/traffic analysis",
    "security::cryptography": "security/encryption",
    "security::forensics": "security/forensics",
    "admin::backup": "systems/backup",
    "admin::filesystem": "systems/file systems",
    "admin::virtualization": "systems/virtual machines",
    "admin::monitoring": "systems/monitoring",
    "admin::boot": "systems/boot loaders",
    "hardware::emulation": "systems/emulators",
    "hardware::power": "systems/power saving",
    "hardware::hamradio": "hardware/amateur radio",
    "hardware::gps": "hardware/satellite navigation",
    "hardware::printer": "hardware/printers",
    "devel::debugger": "programming/debuggers",
    "devel::rcs": "programming/version control",
    "devel::compiler": "programming/compilers",
    "devel::editor": "programming/editors",
    "devel::testing-qa": "programming/testing",
    "devel::lang:python": "programming/Python",
    "devel::lang:java": "programming/Java",
    "devel::lang:sql": "programming/databases",
    "works-with::archive": "utilities/compression",
    "works-with::font": "utilities/fonts",
}


def main() -> None:
    long = {entry["Description-md5"]: entry.get("Description-en", "") for entry in index_entries("Translation-en")}
    found: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    used: set[str] = set()
    entries = sorted(index_entries("Packages"), key=lambda entry: entry["Package"])
    rare_first = sorted(TOPICS, key=lambda tag: sum(tag in entry.get("Tag", "") for entry in entries))
    for tag in rare_first:
        for entry in entries:
            name = entry["Package"]
            source = entry.get("Source", name).split(" ")[0]
            tags = re.split(r",\s*", entry.get("Tag", ""))
            if tag not in tags or source in used or AUXILIARY.search(name) or len(found[tag]) == MOST:
                continue
            description = _first(long.get(entry.get("Description-md5", ""), ""))
            short = entry["Description"].split("\n")[0].strip()
            if description and len(short) > 12 and not NAMED.search(description):
                used.add(source)
                found[tag].append((name, short, description))
    subjects = _subjects()
    lines: list[str] = []
    for tag, title in TOPICS.items():
        if len(found[tag]) >= 8:
            lines.append(f"## {title}\n")
            for name, short, text in found[tag]:
                if subject := subjects.get(name):
                    lines.append(f"{name}: {short} :: {text} :: {subject}\n")
                else:
                    print(f"no subject yet: {name}: {short} :: {text} :: ", file=sys.stderr)
    if not lines:
        raise SystemExit(f"{LISTS}: no package was found")
    beside = TEXTS.with_suffix(".new")
    beside.write_text("".join(lines), encoding="utf-8")
    beside.replace(TEXTS)


def _subjects() -> dict[str, str]:
    """The subject of each package that has one."""
    lines = [line for line in TEXTS.read_text(encoding="utf-8").splitlines() if line.count(" :: ") == 2]
    return {line.partition(":")[0]: line.rpartition(" :: ")[2] for line in lines}


def index_entries(kind: str, *, updates: bool = True) -> Iterator[dict[str, str]]:
    """Entries of the index files of a kind; without `updates` of the release alone."""
    for path in sorted(LISTS.glob(f"*_main_*{kind}*")):
        if not updates and re.search(r"-(updates|security)_", path.name):
            continue
        text = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", path], capture_output=True, check=True).stdout
        for block in text.decode().split("\n\n"):
            entry: dict[str, str] = {}
            name = ""
            for line in block.split("\n"):
                if line.startswith(" ") and name:
                    entry[name] += "\n" + line[1:]
                elif ": " in line:
                    name, _, value = line.partition(": ")
                    entry[name] = value
            if entry:
                yield entry


def _first(text: str) -> str:
    """The first sentences of a long description, on one line."""
    _, _, body = text.partition("\n")
    body = " ".join(body.split("\n.\n")[0].split()).replace("::", ":")
    if not body or not re.match(r"[A-Za-z0-9]", body) or "*" in body:
        return ""
    end = body.rfind(". ", 0, DESCRIPTION)
    if end > 40:
        return body[: end + 1]
    return body if len(body) <= DESCRIPTION else body[: body.rfind(" ", 0, DESCRIPTION)] + " …"


if __name__ == "__main__":
    main()
