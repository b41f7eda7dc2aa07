"""Downloads: once, checked against the published checksum, into a folder of choice, clear without network."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from jetlab.data import datasets, fetch, load_jets, write_jets
from jetlab.data.catalog import DATASETS, DataSet
from jetlab.data.fetch import cache_folder
from jetlab.errors import FileError
from tests.toys import toy_jets


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data set "toy" whose files lie in a folder that a local server offers."""
    folder = tmp_path / "server"
    folder.mkdir()
    write_jets(toy_jets(8), folder / "a.parquet")
    with tarfile.open(folder / "b.tar", "w") as tar:
        tar.add(folder / "a.parquet", "inside/a.parquet")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digests = {
        path.name: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() for path in folder.iterdir()
    }
    toy = DataSet(
        "toy",
        "Toy jets",
        "tests",
        8,
        "none",
        "nobody",
        source=f"http://127.0.0.1:{server.server_port}/",
        files={name: f"md5:{digest}" for name, digest in digests.items()},
    )
    monkeypatch.setitem(DATASETS, "toy", toy)
    monkeypatch.setenv("JETLAB_DATA", str(tmp_path / "cache"))
    yield folder
    server.shutdown()
    server.server_close()


def test_files_are_fetched_once(served: Path) -> None:
    (path,) = fetch("toy", "a.parquet", progress=False)
    assert path == cache_folder("toy") / "a.parquet"
    assert len(load_jets(path)) == 8
    (served / "a.parquet").unlink()
    assert fetch("toy", "a*", progress=False) == [path]


def test_archives_are_unpacked(served: Path) -> None:
    (path,) = fetch("toy", ["b.tar"], progress=False)
    assert path.name == "a.parquet"
    assert len(load_jets(path)) == 8


def test_a_changed_file_is_refused(served: Path) -> None:
    (served / "a.parquet").write_bytes(b"something else")
    with pytest.raises(FileError, match=r"a\.parquet is not the file that was published"):
        fetch("toy", "a.parquet", progress=False)


class Parts(BaseHTTPRequestHandler):
    """Serves ``content`` in parts, and ends the connection after ``most`` bytes."""

    content, most, version, parts = b"", 0, '"1"', True
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        type(self).asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(self.content):
            self.send_error(416)
            return
        partial = wanted and self.parts and self.headers.get("If-Range") == self.version
        rest = self.content[start:] if partial else self.content
        self.send_response(206 if partial else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", self.version)
        self.end_headers()
        self.wfile.write(rest[: self.most])

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def faltering(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Parts]]:
    """A server of the data set "toy" with one file of 3,000 bytes that breaks off after 1,000."""
    content = bytes(range(250)) * 12

    class Server(Parts):
        asked: ClassVar[list[str | None]] = []

    Server.content, Server.most = content, 1_000
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    source = f"http://127.0.0.1:{server.server_port}/"
    toy = DataSet("toy", "", "", 1, "", "", source=source, files={"x.bin": f"md5:{digest}"})
    monkeypatch.setitem(DATASETS, "toy", toy)
    monkeypatch.setenv("JETLAB_DATA", str(tmp_path / "cache"))
    yield Server
    server.shutdown()
    server.server_close()


def test_an_interrupted_download_goes_on(faltering: type[Parts]) -> None:
    for _ in range(2):
        with pytest.raises(FileError, match="What has come is kept: fetch again to go on"):
            fetch("toy", progress=False)
    (path,) = fetch("toy", progress=False)
    assert path.read_bytes() == faltering.content
    assert faltering.asked == [None, "bytes=1000-", "bytes=2000-"]
    assert [p.name for p in path.parent.iterdir()] == ["x.bin"]


@pytest.mark.parametrize("change", ["version", "parts"])
def test_it_starts_afresh_if_the_server_has_another_file_or_sends_no_parts(faltering: type[Parts], change: str) -> None:
    with pytest.raises(FileError, match="fetch again"):
        fetch("toy", progress=False)
    faltering.most = 3_000
    setattr(faltering, change, {"version": '"2"', "parts": False}[change])
    (path,) = fetch("toy", progress=False)
    assert path.read_bytes() == faltering.content


def test_without_network_the_message_says_what_to_do(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "toy", replace(DATASETS["toy"], source="http://127.0.0.1:1/"))
    with pytest.raises(FileError, match=r"Without network, put the file into .*toy yourself"):
        fetch("toy", "a.parquet", progress=False)
    folder = cache_folder("toy")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.parquet").write_bytes((served / "a.parquet").read_bytes())
    assert fetch("toy", "a.parquet", progress=False) == [folder / "a.parquet"]


def test_unknown_names(served: Path) -> None:
    with pytest.raises(FileError, match="unknown data set 'nope'; there are sample, sample-coarse, jetclass"):
        fetch("nope")
    with pytest.raises(FileError, match=r"has no file 'c\*'; there are"):
        fetch("toy", "c*")


def test_files_that_must_be_downloaded_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETLAB_DATA", str(tmp_path))
    with pytest.raises(FileError, match="download those that you want from https://opendata"):
        fetch("atlas-top")
    (tmp_path / "atlas-top").mkdir()
    (tmp_path / "atlas-top" / "train.h5").write_bytes(b"x")
    assert [path.name for path in fetch("atlas-top")] == ["train.h5"]


def test_bundled_sample_needs_no_network() -> None:
    (path,) = fetch("sample")
    assert path.is_file()


def test_catalogue() -> None:
    table = datasets()
    assert {"jetclass", "jetclass2", "top-tagging", "quark-gluon", "jetnet30", "lhco", "aspen"} <= set(table.index)
    assert table.loc["jetnet30", "jets"] == 177252 + 177945 + 170679 + 177172 + 176952
    assert table.loc["sample", "size_gb"] == pytest.approx(DATASETS["sample"].path().stat().st_size / 1e9, abs=1e-4)
    assert "part_deta carries the sign" in table.loc["jetclass", "notes"]
    for dataset in DATASETS.values():
        assert dataset.bundled or dataset.record.startswith("https://")
        for file, checksum in dataset.files.items():
            algorithm, _, digest = checksum.partition(":")
            assert not checksum or len(digest) == hashlib.new(algorithm).digest_size * 2, file
        assert len(set(dataset.files)) == len(dataset.files)


def test_tar_members_that_lead_out_of_the_folder_are_refused(served: Path) -> None:
    with tarfile.open(served / "b.tar", "w") as tar:
        member = tarfile.TarInfo("../../evil.txt")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"evil"))
    digest = hashlib.md5((served / "b.tar").read_bytes(), usedforsecurity=False).hexdigest()
    DATASETS["toy"].files["b.tar"] = f"md5:{digest}"
    with pytest.raises(FileError):
        fetch("toy", "b.tar", progress=False)
    assert not (cache_folder("toy").parent / "evil.txt").exists()
