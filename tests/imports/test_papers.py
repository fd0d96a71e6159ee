"""Zotero and BibTeX."""

from __future__ import annotations

from tests.imports.conftest import SAMPLES, Reader, notes, titles
from trsr_lite.imports.read import read

PAPER = {
    "id": "doi:10.0000/jsm.1",
    "title": "Ranking short lists with small models",
    "author": "Ines Vale, Tomas Rell",
    "published in": "Journal of Small Models",
    "year": "2023",
}


def test_zotero_says_the_same_as_csv_and_as_rdf() -> None:
    table, graph = (read([SAMPLES / name], "zotero").found for name in ("zotero.csv", "zotero.rdf"))
    for found in (table, graph):
        paper = next(item for item in found.history if item["id"] == PAPER["id"])
        assert PAPER.items() <= paper.items()
        assert paper["abstract"].startswith("We rank lists.")
        assert paper["time"] == "2025-11-02T09:30:00Z"
        assert found.domain == "paper"
    assert titles(graph.history)[1] == "A handbook of memory"


def test_attachments_are_no_papers() -> None:
    for name in ("zotero.csv", "zotero.rdf"):
        done = read([SAMPLES / name])
        assert len(done.found.history) == 2
        assert "1 × entry left out: an attachment or a note" in notes(done)


def test_a_cell_with_a_line_end_is_one_cell() -> None:
    found = read([SAMPLES / "zotero.csv"]).found
    assert found.history[1]["abstract"] == "We rank lists. They are short."


def test_bibtex_reads_braces_accents_strings_and_names() -> None:
    done = read([SAMPLES / "library.bib"])
    assert done.found.history[1] == {
        "id": "doi:10.0000/jsm.1",
        "title": "Ranking Short Lists with Börsen Models",
        "author": "Ines Vale, Tomás Rell",
        "published in": "Journal of Small Models",
        "year": "2023",
        "tags": "ranking, small models",
        "abstract": "We rank lists & they are short.",
        "time": "2025-11-02T00:00:00Z",
    }
    assert done.found.history[0]["author"] == "Mira Osei"
    assert "1 × entry left out: not valid BibTeX" in notes(done)


def test_a_name_that_bibtex_does_not_explain_is_no_text(imported: Reader) -> None:
    content = "@string{known = {Journal of Tides}}\n" + "".join(
        f"@article{{a{n},\n title = {{Paper {n}}},\n journal = {'known' if n % 2 else 'unknown'}\n}}\n"
        for n in range(450)
    )
    found = imported(content, "many.bib", newest=0).found  # more than are parsed together
    assert len(found.history) == 450
    assert {item.get("published in") for item in found.history} == {"Journal of Tides", None}
