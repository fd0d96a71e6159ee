"""The hub: what is fetched and how often, what is refused, and what is published. A local stub stands in for it."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from trsr_lite.errors import SettingsError
from trsr_lite.io.digests import file_digest
from trsr_lite.models import hub, push, reference
from trsr_lite.models.bundle import MANIFEST, Bundle, ModelFile
from trsr_lite.models.reference import Reference

ROOT = Path(__file__).parents[2]
NEWS = ROOT / "examples" / "news_reader.json"
PATIENCE = 300
COMMIT, TOKEN = "c0ffee" + "0" * 34, "hf_test"
CHUNK = 1024

PULL = f"""
import json, os, socket, sys, time
import huggingface_hub.constants
from trsr_lite import ModelError; from trsr_lite.models import hub, reference
time.sleep = lambda seconds: None  # the client waits between its attempts
huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = {CHUNK}
if sys.argv[1] == "guarded":
    socket.socket.connect = socket.create_connection = socket.getaddrinfo = lambda *_, **__: os._exit(99)
for text in sys.argv[3:]:
    try:
        told = {{"path": str(hub.pull(reference.parse(text), offline=sys.argv[2] == "offline"))}}
    except ModelError as error:
        told = {{"error": str(error), "hint": error.hint}}
    print(json.dumps(told))
"""


@dataclass
class Repository:
    """What the stub hub has under a name; `refusal` is a status and an error code for everything asked of it."""

    files: dict[str, bytes] = field(default_factory=dict)
    private: bool = False
    refusal: tuple[int, str] | None = None
    head: str = COMMIT
    breaks: dict[str, list[int]] = field(default_factory=dict)  # by file: bytes after which each answer ends

    def add(self, folder: Path) -> Repository:
        self.files |= {path.name: path.read_bytes() for path in folder.iterdir()}
        return self


class Handler(http.server.BaseHTTPRequestHandler):
    """As much of the hub's HTTP interface as its client needs."""

    protocol_version = "HTTP/1.1"

    def __init__(self, stub: Stub, *arguments: Any) -> None:
        self.stub = stub
        super().__init__(*arguments)

    def do_GET(self) -> None:
        span = self.headers.get("Range", "")
        self.stub.asked.append(f"{self.command} {self.path.partition('?')[0]} {span}".strip())
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
        info = re.fullmatch(r"/api/models/([^/]+/[^/?]+)(?:/revision/([^/?]+))?(?:\?.*)?", self.path)
        asked = file or info
        if asked is None:
            self.answer(404)
        elif (repository := self.stub.repositories.get(asked[1])) is None or (
            repository.private and not self.has_token()
        ):
            self.answer(401, **{"X-Error-Code": "RepoNotFound"})
        elif repository.refusal:
            status, code = repository.refusal
            self.answer(status, **({"X-Error-Code": code} if code else {}))
        elif asked[2] not in (None, "main", repository.head):
            self.answer(404, **{"X-Error-Code": "RevisionNotFound"})
        elif info:
            siblings = [{"rfilename": name} for name in repository.files]
            self.tell({"id": asked[1], "sha": repository.head, "private": repository.private, "siblings": siblings})
        elif asked[3] not in repository.files:
            self.answer(404, **{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repository.head})
        else:
            self.send_file(repository, asked[3], span)

    def do_HEAD(self) -> None:
        self.do_GET()

    def send_file(self, repository: Repository, name: str, span: str) -> None:
        content = repository.files[name]
        start = int(re.findall(r"\d+", span)[0]) if span else 0
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": repository.head}
        if span:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        end = len(content)
        if self.command == "GET" and repository.breaks.get(name):
            end = start + repository.breaks[name].pop(0)
            self.close_connection = True
        self.answer(206 if span else 200, content[start:end], length=len(content) - start, **headers)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.stub.asked.append(f"{self.command} {self.path}")
        place = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", self.path)
        if not self.has_token() and not self.path.startswith("/storage/"):
            self.answer(401)
        elif self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            self.tell({"errors": [], "warnings": []})
        elif place and place[2] == "preupload":
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = {path: "lfs" if path.endswith(".gguf") else "regular" for path in paths}
            self.tell({"files": [{"path": p, "uploadMode": modes[p], "shouldIgnore": False} for p in paths]})
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            href = f"http://{self.headers['Host']}/storage/"
            self.tell(
                {
                    "transfer": "basic",
                    "objects": [{**one, "actions": {"upload": {"href": href + one["oid"]}}} for one in objects],
                }
            )
        elif place:
            self.commit(self.stub.repositories[place[1]], [json.loads(line) for line in body.splitlines()])
            self.tell(
                {
                    "success": True,
                    "commitOid": COMMIT,
                    "commitUrl": f"http://{self.headers['Host']}/{place[1]}/commit/{COMMIT}",
                }
            )
        else:
            self.answer(404)

    def do_PUT(self) -> None:
        self.stub.stored[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200)

    def create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        found = name in self.stub.repositories
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.stub.repositories.setdefault(name, Repository(private=bool(private)))
        self.tell({"url": f"http://{self.headers['Host']}/{name}"}, 409 if found else 200)

    def commit(self, repository: Repository, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.stub.stored[value["oid"]]

    def has_token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def tell(self, what: Any, status: int = 200) -> None:
        self.answer(status, json.dumps(what).encode(), **{"Content-Type": "application/json"})

    def answer(self, status: int, body: bytes = b"", *, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Told(NamedTuple):
    """What `pull` said of one reference."""

    path: Path | None
    error: str
    hint: str


class Stub:
    """The hub: what it has, what it was asked, and a client in a process of its own that is led to it."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.repositories: dict[str, Repository] = {}
        self.stored: dict[str, bytes] = {}
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, self))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.cache = folder / "hub"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))},
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(folder),
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }

    def close(self) -> None:
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()

    def python(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, arguments)]
        environment = {**self.environment, **environment}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)

    def cli(self, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "trsr_lite", *arguments, **environment)

    def pull(self, *references: str, offline: bool = False, guarded: bool = False, **environment: str) -> list[Told]:
        """Pull each reference, in one process; `guarded` ends it if it opens a connection."""
        modes = ("guarded" if guarded or offline else "open", "offline" if offline else "online")
        done = self.python("-c", PULL, *modes, *references, **environment)
        assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
        told = [json.loads(line) for line in done.stdout.splitlines()]
        return [Told(*(one.get(name) or "" for name in Told._fields)) for one in told]

    def fetched(self) -> list[str]:
        """The names of files whose content was asked for."""
        return [line.split()[1].rpartition("/")[2] for line in self.asked if re.match("GET .*/resolve/", line)]

    def visible(self) -> list[str]:
        """The names of files that a snapshot in the cache shows."""
        return sorted(path.name for path in self.cache.glob("models--*/snapshots/*/*"))


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[Stub]:
    stub = Stub(tmp_path / "huggingface")
    yield stub
    stub.close()


def write_bundle(folder: Path, *, source: Path | None = None, **changes: Any) -> Path:
    """A bundle of two files, or around a real GGUF; `recommender__file=…` changes an entry of its manifest."""
    folder.mkdir(parents=True)
    files = {}
    for role in ("summarizer", "recommender"):
        path = folder / ("model.gguf" if source else f"{role}.gguf")
        path.write_bytes(source.read_bytes() if source else f"GGUF {role} ".encode() * 800)
        files[role] = ModelFile(path, file_digest(path), path.stat().st_size, "Q8_0")
    bundle = Bundle("news", **files, trained=False)
    bundle.write(folder)
    manifest = bundle.to_dict()
    for name, value in changes.items():
        role, _, key = name.partition("__")
        if key:
            manifest[role][key] = value
        else:
            manifest[role] = value
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / "README.md").write_text("# News\n")
    return folder


@pytest.fixture
def published(stub: Stub, tmp_path: Path) -> Repository:
    """The bundle `someone/news` on the hub, among files that are nobody's business."""
    repository = Repository().add(write_bundle(tmp_path / "source"))
    foreign = ("pytorch_model.bin", "evil.py", "../x", "training.json", "other.gguf", "config.json", "model.pkl")
    repository.files |= dict.fromkeys(foreign, b"evil")
    stub.repositories["someone/news"] = repository
    return repository


@pytest.fixture
def ggufs(stub: Stub) -> Repository:
    """`someone/GGUF` on the hub: a model in several types, and some parts."""
    types = ("Q4_K_M", "q8_0", "Q6_K", "Q6_K_L", "IQ4_XS", "Q4_K_S", "BF16-00001-of-00002", "BF16-00002-of-00002")
    files = {f"some-7B.{kind}.gguf": kind.encode() * 100 for kind in types}
    stub.repositories["someone/GGUF"] = Repository(files | {"config.json": b"{}", "evil.py": b"evil"})
    return stub.repositories["someone/GGUF"]


# References


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user/repo", Reference("user/repo")),
        ("user/repo:Q8_0", Reference("user/repo", "Q8_0")),
        ("user/repo@v1.2", Reference("user/repo", None, "v1.2")),
        ("user/repo:Q8_0@refs/pr/1", Reference("user/repo", "Q8_0", "refs/pr/1")),
        ("User-1/Some_model-7B.v2", Reference("User-1/Some_model-7B.v2")),
        *((text, None) for text in ("", "smollm2", "repo:Q8_0", "a/b/c", "/a/b", "./a", "../a", "~/a", "~a/b", ".a/b")),
        *(
            (text, None)
            for text in ("a\\b", "a/b\\c", "a/..", "a/b..c", "a--b/c", "a/b.git", "a/b:", "a/b@", "a/b:../c")
        ),
        *(
            (text, None)
            for text in ("a/b@../../c", "a/b c", "a/b\n", "-a/b", "a/-b", "a/b:Q/8", "é/b", "a/" + "b" * 97)
        ),
        *((text, None) for text in ("models/my.gguf", "models/my.GGUF", "users/one.json", "C:/models", "https://a/b")),
    ],
    ids=repr,
)
def test_a_reference_is_a_repository_with_a_type_and_a_revision(text: str, expected: Reference | None) -> None:
    assert reference.parse(text) == expected
    assert expected is None or str(expected) == text


def test_what_exists_here_is_no_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert reference.parse("user/repo") is not None
    (tmp_path / "user" / "repo").mkdir(parents=True)
    assert reference.parse("user/repo") is None
    assert reference.parse("user/" + "r" * 300) is None  # nor what can be nowhere


# Bundles


def test_a_bundle_is_fetched_and_nothing_else(stub: Stub, published: Repository) -> None:
    (told,) = stub.pull("someone/news")
    assert told.path, told.error
    names = [MANIFEST, "recommender.gguf", "summarizer.gguf", "README.md"]
    assert stub.fetched() == names
    assert stub.visible() == sorted(names)
    for name in names:
        assert (Path(told.path) / name).read_bytes() == published.files[name]
    asked = {line.split()[1].split("/")[4] for line in stub.asked if re.search(r"/resolve/.*(gguf|md)$", line)}
    assert asked == {COMMIT}  # all of one revision


def test_what_was_pulled_is_never_asked_for_again(stub: Stub, published: Repository, ggufs: Repository) -> None:
    references = ("someone/news", "someone/GGUF:Q8_0", "someone/news:q8_0", f"someone/news@{COMMIT}")
    first = stub.pull(*references)
    assert all(told.path for told in first), first
    stub.close()
    assert stub.pull(*references, guarded=True) == first
    assert stub.pull(*references, offline=True) == first


def test_offline_nothing_is_asked_for(stub: Stub, published: Repository) -> None:
    (told,) = stub.pull("someone/news:Q8_0", offline=True)
    assert told.error == "someone/news:Q8_0 is not on this machine, and `offline` forbids fetching it"
    assert "`trsr-lite pull someone/news:Q8_0`" in told.hint
    (told,) = stub.pull("someone/news", guarded=True, HF_HUB_OFFLINE="1")
    assert "`HF_HUB_OFFLINE` forbids" in told.error
    assert stub.asked == []


def test_a_download_that_breaks_goes_on_where_it_was(stub: Stub, published: Repository) -> None:
    published.breaks["recommender.gguf"] = [3 * CHUNK + 7, 2 * CHUNK]
    told = [stub.pull("someone/news")[0] for _ in range(3)][-1]  # an older client goes on when it is run again
    assert told.path, told.error
    assert (Path(told.path) / "recommender.gguf").read_bytes() == published.files["recommender.gguf"]
    starts = [int(line.rpartition("=")[2].strip("-")) for line in stub.asked if "recommender.gguf bytes=" in line]
    assert len(starts) == 2 and starts[0] >= 3 * CHUNK and starts[1] >= 5 * CHUNK


def test_a_download_that_never_ends_well_leaves_no_half_file(stub: Stub, published: Repository) -> None:
    published.breaks["recommender.gguf"] = [10] * 50
    (told,) = stub.pull("someone/news")
    assert told.error.startswith("someone/news cannot be fetched: ")
    assert "network" in told.hint
    assert "recommender.gguf" not in stub.visible()
    (told,) = stub.pull("someone/news", offline=True)
    assert "is not on this machine" in told.error
    published.breaks.clear()
    (told,) = stub.pull("someone/news")
    assert told.path, told.error


def test_a_file_that_is_not_the_manifests_is_named_and_removed(stub: Stub, published: Repository) -> None:
    right = published.files["recommender.gguf"]
    published.files["recommender.gguf"] = wrong = right.replace(b"GGUF", b"EVIL")
    digests = {content: hashlib.blake2b(content, digest_size=20).hexdigest() for content in (right, wrong)}
    (told,) = stub.pull("someone/news")
    assert told.error == (
        f"recommender.gguf: its content hash is b2:{digests[wrong]}, but its manifest says b2:{digests[right]}"
    )
    assert "removed from the cache" in told.hint
    assert "recommender.gguf" not in stub.visible()
    assert not any(path.read_bytes() == wrong for path in stub.cache.glob("models--*/blobs/*"))
    published.files["recommender.gguf"] = right
    (told,) = stub.pull("someone/news")
    assert told.path, told.error


@pytest.mark.parametrize("damage", [b"", b"GGUF that was changed on disk"], ids=["cut", "changed"])
def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(
    stub: Stub, published: Repository, damage: bytes
) -> None:
    (told,) = stub.pull("someone/news")
    (Path(str(told.path)) / "summarizer.gguf").write_bytes(damage)
    stub.asked.clear()
    assert stub.pull("someone/news") == [told]
    assert stub.fetched() == ["summarizer.gguf"]
    (Path(str(told.path)) / "summarizer.gguf").write_bytes(damage)
    (told,) = stub.pull("someone/news", offline=True)
    assert told.error.startswith("summarizer.gguf: its content hash is ")


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"schema": 1000}, "", "schema 1000 is newer"),
        ({"trained": True, "prompt_version": "0"}, "", "trained on prompt version 0"),
        ({}, ":Q4_0", "the recommender of this bundle is Q8_0, not Q4_0"),
    ],
    ids=str,
)
def test_a_whole_bundle_that_cannot_be_used_is_not_asked_for_again(
    stub: Stub, tmp_path: Path, changes: dict[str, Any], kind: str, words: str
) -> None:
    stub.repositories["someone/other"] = Repository().add(write_bundle(tmp_path / "source"))
    (told,) = stub.pull("someone/other")
    manifest = Path(str(told.path)) / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **changes}))
    (told,) = stub.pull(f"someone/other{kind}", guarded=True)
    assert words in told.error
    assert told.hint.endswith(f"; `trsr-lite pull someone/other{kind}` asks the hub for a newer one")


def test_a_bundle_that_cannot_be_used_any_more_is_renewed_by_name(stub: Stub, tmp_path: Path) -> None:
    old = write_bundle(tmp_path / "old", trained=True, prompt_version="0")
    stub.repositories["someone/news"] = repository = Repository().add(old)
    first = stub.cli("pull", "someone/news")
    assert first.returncode == 3 and "trained on prompt version 0" in first.stderr
    repository.add(write_bundle(tmp_path / "new")).head = "beef" + "0" * 36
    (told,) = stub.pull("someone/news", guarded=True)
    assert "trained on prompt version 0" in told.error
    again = stub.cli("pull", "someone/news")
    assert again.returncode == 0, again.stderr
    assert repository.head in again.stdout
    (told,) = stub.pull("someone/news", guarded=True)
    assert str(told.path) == again.stdout.strip()


@pytest.mark.parametrize(
    "name",
    ["../x", "sub/inside.gguf", "/etc/passwd.json", "..", "", "a\\b.gguf", "evil.py", "*.gguf\n", "pickle.bin", None],
)
def test_a_manifest_that_names_anything_else_is_refused_before_it_is_fetched(
    stub: Stub, tmp_path: Path, name: object
) -> None:
    folder = write_bundle(tmp_path / "source", recommender__file=name)
    stub.repositories["someone/evil"] = Repository({"sub/inside.gguf": b"evil", "evil.py": b"evil"}).add(folder)
    (told,) = stub.pull("someone/evil")
    assert "manifest.json names" in told.error and repr(name).strip("'")[:4] in told.error
    assert stub.fetched() == [MANIFEST]


def test_an_adapter_is_a_file_of_the_bundle_too(stub: Stub, tmp_path: Path) -> None:
    entry = {"file": "../adapter.gguf", "digest": "b2:0", "size": 1, "type": "F16"}
    folder = write_bundle(tmp_path / "source")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["summarizer"]["adapter"] = entry
    (folder / MANIFEST).write_text(json.dumps(manifest))
    stub.repositories["someone/evil"] = Repository().add(folder)
    manifest["summarizer"]["adapter"] = {
        **entry,
        "file": "adapter.gguf",
        "digest": f"b2:{hashlib.blake2b(b'A', digest_size=20).hexdigest()}",
    }
    (folder / MANIFEST).write_text(json.dumps(manifest))
    (folder / "adapter.gguf").write_bytes(b"A")
    stub.repositories["someone/tuned"] = Repository().add(folder)
    evil, tuned = stub.pull("someone/evil", "someone/tuned")
    assert "'../adapter.gguf'" in evil.error
    assert "adapter.gguf" in stub.visible(), tuned.error


def test_a_manifest_that_is_none_and_a_file_that_is_missing_are_errors(stub: Stub, tmp_path: Path) -> None:
    sources = {
        "broken": Repository({MANIFEST: b'{"schema": 1,'}),
        "list": Repository({MANIFEST: b"[1]"}),
        "other": Repository({MANIFEST: b'{"name": "a web page"}'}),
        "newer": Repository({MANIFEST: b'{"schema": 1000}'}),
        "partial": Repository().add(write_bundle(tmp_path / "partial")),
        "typed": Repository().add(write_bundle(tmp_path / "typed")),
    }
    del sources["partial"].files["recommender.gguf"]
    stub.repositories |= {f"someone/{name}": repository for name, repository in sources.items()}
    broken, a_list, other, newer, partial, typed = stub.pull(
        *[f"someone/{name}" for name in sources][:-1], "someone/typed:Q4_0"
    )
    for told in (broken, a_list, other):
        assert "its manifest.json is not a bundle's" in told.error
    assert "schema 1000 is newer" in newer.error and "upgrade" in newer.hint
    assert "someone/partial has no file recommender.gguf" in partial.error
    assert typed.error == "someone/typed:Q4_0: the recommender of this bundle is Q8_0, not Q4_0"
    assert "`someone/typed`" in typed.hint


def test_a_damaged_file_is_removed_with_every_link_to_it_and_nothing_outside_the_cache(tmp_path: Path) -> None:
    cache, outside = tmp_path / "hub", tmp_path / "mine.gguf"
    repository, shared = cache / "models--someone--news", cache / "blobs" / "ab" / "abcd"
    snapshot, blobs = repository / "snapshots" / COMMIT, repository / "blobs"
    for folder in (snapshot, blobs, shared.parent):
        folder.mkdir(parents=True)
    for path in (shared, outside):
        path.write_bytes(b"GGUF")
    for name, target in (("shared", "../../blobs/ab/abcd"), ("foreign", outside)):
        (blobs / name).symlink_to(target)
        (snapshot / name).symlink_to(f"../../blobs/{name}")
        assert (snapshot / name).read_bytes() == b"GGUF"
        hub.discard(snapshot / name)
    assert [path for path in cache.rglob("*") if path.is_symlink() or path.is_file()] == []
    assert outside.exists()


# GGUF files


def test_a_type_chooses_one_gguf(stub: Stub, ggufs: Repository) -> None:
    stub.repositories["someone/one"] = Repository({"one.gguf": b"GGUF", "evil.py": b"evil"})
    kinds = {"Q4_K_M": "Q4_K_M", "Q8_0": "q8_0", "q6_k": "Q6_K", "Q6_K_L": "Q6_K_L", "IQ4_XS": "IQ4_XS"}
    told = stub.pull(*[f"someone/GGUF:{kind}" for kind in kinds], "someone/one")
    names = [f"some-7B.{kind}.gguf" for kind in kinds.values()] + ["one.gguf"]
    assert [Path(str(one.path)).name for one in told] == names
    assert stub.fetched() == names


def test_what_sees_pictures_for_a_model_is_not_the_model(stub: Stub) -> None:
    files = {"mmproj-some-7B-F16.gguf": b"GGUF eyes", "some-7B-Q8_0.gguf": b"GGUF"}
    stub.repositories["someone/seeing"] = Repository(files)
    only, eyes = stub.pull("someone/seeing", "someone/seeing:F16")
    assert Path(str(only.path)).name == "some-7B-Q8_0.gguf", only.error
    assert "nor a GGUF file of type F16" in eyes.error


def test_of_several_models_in_one_type_a_whole_name_chooses(stub: Stub) -> None:
    files = {f"{name}.Q8_0.gguf": name.encode() for name in ("some", "other-some")}
    stub.repositories["someone/two"] = Repository(files)
    both, typed, *whole = stub.pull(*[f"someone/two{kind}" for kind in ("", ":Q8_0", ":some.Q8_0", ":other-some.q8_0")])
    for told in (both, typed):
        assert "has 2 GGUF files that fit: other-some.Q8_0" in told.error
        assert told.hint == "name one, such as `someone/two:other-some.Q8_0`"
    assert [Path(str(told.path)).name for told in whole] == list(files)


@pytest.mark.parametrize("kinds", [("Q8_0",), ("some.Q8_0", "Q8_0"), ("Q6_K_L", "Q4_K_M", "IQ4_XS")], ids=str)
def test_the_cache_gives_what_the_hub_would(stub: Stub, ggufs: Repository, kinds: tuple[str, ...]) -> None:
    """Whatever was pulled before: a file that is here does not stand for others of its repository."""
    files = {f"{name}.Q8_0.gguf": name.encode() for name in ("some", "other-some")}
    stub.repositories |= {"someone/two": Repository(files), "someone/one": Repository({"one.gguf": b"GGUF"})}
    stub.pull(*[f"someone/{name}:{kind}" for kind in kinds for name in ("GGUF", "two", "one")])
    wanted = {
        "GGUF": "has 6 GGUF files that fit",
        "GGUF:Q4_K": "has 2 GGUF files that fit",
        "two": "has 2 GGUF files that fit",
        "two:Q8_0": "has 2 GGUF files that fit",
        "GGUF:Q6_K": "some-7B.Q6_K.gguf",
        "GGUF:Q6_K_L": "some-7B.Q6_K_L.gguf",
        "two:other-some.Q8_0": "other-some.Q8_0.gguf",
        "two:some.Q8_0": "some.Q8_0.gguf",
        "one": "one.gguf",
    }
    asked = [f"someone/{name}" for name in wanted]
    found = stub.pull(*asked)
    for told, words in zip(found, wanted.values(), strict=True):
        assert words in told.error or (told.path and Path(told.path).name == words), told
    stub.close()
    assert stub.pull(*asked, offline=True) == found
    assert stub.pull(*asked[4:], guarded=True) == found[4:]


def test_offline_only_what_is_surely_meant_is_taken(stub: Stub, ggufs: Repository) -> None:
    """Another program fetched one file, and never asked for the others."""
    for name in ("GGUF:Q6_K_L", "two:other-some.Q8_0"):
        stub.repositories["someone/two"] = Repository({"other-some.Q8_0.gguf": b"GGUF"})
        assert stub.pull(f"someone/{name}")[0].path
    for path in stub.cache.glob(f"models--*/{hub.NAMES}/*"):
        path.unlink()
    names = ("GGUF:Q6_K", "GGUF:Q6", "two:some.Q8_0", "GGUF:q6_k_l", "GGUF", "two:Q8_0", "two:other-some.Q8_0")
    told = stub.pull(*[f"someone/{name}" for name in names], offline=True)
    assert all("is not on this machine" in one.error for one in told[:3]), told
    large, other = "some-7B.Q6_K_L.gguf", "other-some.Q8_0.gguf"
    assert [Path(str(one.path)).name for one in told[3:]] == [large, large, other, other]


def test_a_gguf_that_another_program_cached_does_not_hide_the_bundle(stub: Stub, published: Repository) -> None:
    (told,) = stub.pull("someone/news")
    folder = Path(str(told.path))
    for name in (MANIFEST, "README.md", "summarizer.gguf"):
        (folder / name).unlink()
    (told,) = stub.pull("someone/news", offline=True)
    assert told.path == str(folder / "recommender.gguf")
    (told,) = stub.pull("someone/news")
    assert told.path == str(folder)


def test_a_choice_that_is_none_is_an_error_that_lists_the_types(stub: Stub, ggufs: Repository) -> None:
    stub.repositories["someone/none"] = Repository({"model.safetensors": b"", "sub/inside.Q8_0.gguf": b""})
    references = ("someone/GGUF", "someone/GGUF:Q4_K", "someone/GGUF:Q4_XS", "someone/GGUF:BF16", "someone/none:Q8_0")
    several, ambiguous, absent, split, none = stub.pull(*references)
    assert several.error == ("someone/GGUF has 6 GGUF files that fit: IQ4_XS, Q4_K_M, Q4_K_S, Q6_K, Q6_K_L, q8_0")
    assert several.hint == "name one, such as `someone/GGUF:IQ4_XS`"
    assert "some-7B.Q4_K_M.gguf, some-7B.Q4_K_S.gguf" in ambiguous.error
    assert "nor a GGUF file of type Q4_XS" in absent.error
    assert "one part of a model in several files" in split.error
    assert "nor a GGUF file" in none.error
    assert stub.fetched() == []


# Errors


def test_what_the_hub_refuses_is_said_with_the_next_step(stub: Stub, published: Repository) -> None:
    stub.repositories |= {
        "someone/gated": Repository(refusal=(403, "GatedRepo")),
        "someone/private": Repository({MANIFEST: b"{}"}, private=True),
        "someone/forbidden": Repository(refusal=(403, "")),
        "someone/down": Repository(refusal=(500, "")),
    }
    names = ("gated", "private", "absent", "forbidden", "down", "news@v9")
    gated, private, absent, forbidden, down, revision = stub.pull(*[f"someone/{name}" for name in names])
    assert "someone/gated is gated" in gated.error
    for told in (private, absent):
        assert "there is no such repository on the hub, or it is private" in told.error
    for told in (gated, private, absent, forbidden):
        assert "`hf auth login`" in told.hint and "`HF_TOKEN`" in told.hint
    assert "the hub refused with 403" in forbidden.error
    assert "the hub answered 500" in down.error and "later" in down.hint
    assert revision.error == "someone/news has no revision v9"
    for told in (gated, private, absent, forbidden, down, revision):
        assert "\n" not in told.error and not told.error.endswith(".")


def test_a_token_of_the_environment_is_used(stub: Stub, published: Repository) -> None:
    published.private = True
    (told,) = stub.pull("someone/news", HF_TOKEN=TOKEN)
    assert told.path, told.error


def test_a_hub_that_is_not_there_is_an_error(stub: Stub) -> None:
    stub.close()
    (told,) = stub.pull("someone/news")
    assert told.error.startswith("someone/news cannot be fetched: ")
    assert "check the network" in told.hint


FULL_DISK = f"""
import errno, huggingface_hub.file_download as download
def http_get(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")
download.http_get = http_get
{PULL}
"""


def test_a_full_disk_is_an_error(stub: Stub, published: Repository) -> None:
    done = stub.python("-c", FULL_DISK, "open", "online", "someone/news")
    told = json.loads(done.stdout)
    assert told["error"] == "someone/news cannot be fetched: the disk is full"
    assert "`HF_HOME`" in told["hint"]


# Publishing


def test_exactly_the_bundle_is_published(stub: Stub, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    for name in ("LICENSE", "report.json", "notes.md"):
        (folder / name).write_text("{}")
    done = stub.cli("push", folder, "someone/new", HF_TOKEN=TOKEN)
    assert (done.returncode, done.stdout) == (0, f"{stub.address}/someone/new/commit/{COMMIT}\n"), done.stderr
    assert stub.repositories["someone/new"].files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert not stub.repositories["someone/new"].private
    (told,) = stub.pull("someone/new")
    assert told.path, told.error


def test_publishing_again_changes_what_is_there(stub: Stub, published: Repository, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", name="renamed")
    done = stub.cli("push", folder, "someone/news", "--json", HF_TOKEN=TOKEN)
    assert json.loads(done.stdout) == {"schema": 1, "url": f"{stub.address}/someone/news/commit/{COMMIT}"}
    assert json.loads(published.files[MANIFEST])["name"] == "renamed"


@pytest.mark.parametrize("name", ["train.jsonl", "users.json", "checkpoint/", ".env", "optimizer.pt", "other.gguf"])
def test_a_folder_with_anything_else_is_not_published(stub: Stub, tmp_path: Path, name: str) -> None:
    folder = write_bundle(tmp_path / "bundle")
    if name.endswith("/"):
        (folder / name).mkdir()
    else:
        (folder / name).write_text("secret")
    done = stub.cli("push", folder, "someone/new", HF_TOKEN=TOKEN)
    assert done.returncode == 3
    assert f"not of the bundle, so nothing was published: {name.strip('/')}" in done.stderr
    assert stub.asked == []


def test_a_broken_bundle_is_not_published(stub: Stub, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    size = (folder / "recommender.gguf").stat().st_size
    (folder / "recommender.gguf").write_bytes(b"x" * size)
    done = stub.cli("push", folder, "someone/new", HF_TOKEN=TOKEN)
    assert done.returncode == 3 and "recommender.gguf: its content hash is" in done.stderr
    for name, words in (("absent", "there is no such folder"), ("a" * 300, "cannot be read: File name too long")):
        done = stub.cli("push", tmp_path / name, "someone/new", HF_TOKEN=TOKEN)
        assert done.returncode == 3 and words in done.stderr
    assert stub.asked == []


def test_what_is_to_be_private_is_never_published_in_public(stub: Stub, published: Repository, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    before = dict(published.files)
    done = stub.cli("push", folder, "someone/news", "--private", HF_TOKEN=TOKEN)
    assert done.returncode == 3 and "someone/news exists and is public" in done.stderr
    assert published.files == before
    done = stub.cli("push", folder, "someone/secret", "--private", HF_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert stub.repositories["someone/secret"].private


def test_publishing_without_a_login_says_how_to_log_in(stub: Stub, tmp_path: Path) -> None:
    done = stub.cli("push", write_bundle(tmp_path / "bundle"), "someone/new")
    assert done.returncode == 3
    assert done.stderr.count("Error: ") == 1
    assert "`hf auth login`" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["news", "a/b/c", "a/b:Q8_0", "a/b@v1", "../b", "a--b/c"])
def test_a_name_that_cannot_be_a_repository_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="is not the name of a repository"):
        push.push(tmp_path, name)


# The command line and the library


def test_pull_prints_where_it_is(stub: Stub, published: Repository) -> None:
    done = stub.cli("pull", "someone/news")
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.removesuffix("\n")) / MANIFEST).is_file()
    assert "fetch someone/news: recommender.gguf" in done.stderr
    again = stub.cli("pull", "someone/news", "--offline", "--json")
    assert json.loads(again.stdout) == {"schema": 1, "reference": "someone/news", "path": done.stdout.strip()}
    assert again.stderr == ""
    wrong = stub.cli("pull", "news")
    assert wrong.returncode == 2 and "'news' is not a repository" in wrong.stderr


def test_a_bundle_on_the_hub_recommends(stub: Stub, tiny: Path, tmp_path: Path) -> None:
    stub.repositories["someone/tiny"] = Repository().add(write_bundle(tmp_path / "source", source=tiny))
    arguments = ("recommend", "--user", NEWS, "-m", "someone/tiny", "--cache-dir", tmp_path / "cache", "--json")
    first = stub.cli(*arguments, "--threads", "1")
    assert first.returncode == 0, first.stderr
    local = stub.cli(*arguments[:4], tmp_path / "source", *arguments[5:], "--threads", "1")
    ranked = [json.loads(done.stdout)["recommendations"] for done in (first, local)]
    assert ranked[0] == ranked[1]
    stub.close()
    again = stub.cli(*arguments, "--threads", "1", "--offline")
    assert again.returncode == 0, again.stderr


def test_what_is_neither_here_nor_a_reference_is_said(stub: Stub, tmp_path: Path) -> None:
    done = stub.cli("inspect", "nowhere.gguf", "--cache-dir", tmp_path / "cache")
    assert done.returncode == 3
    assert "nowhere.gguf: there is no such model" in done.stderr and "`user/repo[:TYPE]`" in done.stderr
    assert stub.asked == []
