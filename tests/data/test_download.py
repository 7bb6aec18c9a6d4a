"""Downloads from a local server in this process."""

import hashlib
import io
import socket
import sys
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torchvision.datasets.cifar
import torchvision.datasets.omniglot

from fsbench._util.errors import FsbenchError
from fsbench.cli import main
from fsbench.data import _download as download

CONTENT = bytes(range(256)) * 10_000
MD5 = hashlib.md5(CONTENT).hexdigest()
FILES = {"/whole": CONTENT, "/short": CONTENT}  # content by path on the server


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        content = FILES.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:1_500_000] if self.path == "/short" else content)

    def log_message(self, *message: object) -> None:
        """Log nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as serving:
        thread = Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class TestFetch:
    def test_a_file_arrives_whole(self, server: str, tmp_path: Path):
        download.fetch(f"{server}/whole", MD5, tmp_path / "new" / "a.tgz", quiet=True)
        assert (tmp_path / "new" / "a.tgz").read_bytes() == CONTENT

    @pytest.mark.parametrize(
        ("path", "md5", "message"),
        [
            ("whole", "0" * 32, f"MD5 must be {'0' * 32}, but is {MD5}; nothing was kept"),
            ("absent", MD5, "cannot be fetched (http error 404: not found)"),
            ("short", MD5, "cannot be fetched (the connection broke off, 1,060,000 bytes are missing)"),
        ],
    )
    def test_a_failed_download_gives_one_line_and_keeps_no_file(self, server, tmp_path, path, md5, message):
        with pytest.raises(FsbenchError) as caught:
            download.fetch(f"{server}/{path}", md5, tmp_path / "a.tgz", quiet=True)
        assert str(caught.value) == f"{server}/{path}: {message}"
        assert not list(tmp_path.iterdir())

    def test_a_failed_connection_is_not_reported_as_a_disk_error(self, tmp_path: Path, monkeypatch):
        class Reset(io.BytesIO):
            length = 5

            def read(self, size: int | None = -1) -> bytes:
                raise ConnectionResetError(104, "Connection reset by peer")

        monkeypatch.setattr(download, "_open_url", lambda url: Reset())
        with pytest.raises(FsbenchError, match=r"^a: cannot be fetched \(connection reset by peer\)$"):
            download.fetch("a", MD5, tmp_path / "a.tgz", quiet=True)
        assert not list(tmp_path.iterdir())

    def test_an_unreachable_server_is_reported(self, tmp_path: Path):
        url = f"http://127.0.0.1:{free_port()}/a.tgz"
        with pytest.raises(FsbenchError) as caught:
            download.fetch(url, MD5, tmp_path / "a.tgz", quiet=True)
        assert str(caught.value) == f"{url}: cannot be fetched (connection refused)"

    def test_a_folder_that_cannot_be_written(self, server: str, tmp_path: Path):
        (tmp_path / "file").touch()
        with pytest.raises(FsbenchError, match=r"cannot write .*file.a\.tgz: "):
            download.fetch(f"{server}/whole", MD5, tmp_path / "file" / "a.tgz", quiet=True)


def archive(path: Path, *members: str) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name in members:
            info = tarfile.TarInfo(name)
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))


class TestUnpack:
    def test_members_are_written_below_the_folder(self, tmp_path: Path):
        archive(tmp_path / "a.tgz", "a/b.jpg", "c.txt")
        download.unpack(tmp_path / "a.tgz", tmp_path / "out")
        assert (tmp_path / "out" / "a" / "b.jpg").read_text() == "abc"

    @pytest.mark.skipif(not hasattr(tarfile, "data_filter"), reason="this Python has no extraction filters")
    @pytest.mark.parametrize("member", ["../evil.txt", "a/../../evil.txt"])
    def test_no_member_is_written_elsewhere(self, tmp_path: Path, member: str):
        archive(tmp_path / "a.tgz", member)
        with pytest.raises(
            FsbenchError, match=r"cannot unpack .*a.tgz: .*evil.txt.* outside the destination"
        ):
            download.unpack(tmp_path / "a.tgz", tmp_path / "out")
        assert not list(tmp_path.rglob("evil.txt"))

    @pytest.mark.parametrize("content", [b"", b"no archive", None])
    def test_a_torn_archive_gives_one_line(self, tmp_path: Path, content: bytes | None):
        path = tmp_path / "a.tgz"
        archive(path, "a.txt")
        path.write_bytes(path.read_bytes()[:-20] if content is None else content)
        with pytest.raises(FsbenchError, match=r"cannot unpack .*a.tgz: \w"):
            download.unpack(path, tmp_path / "out")


class TestCub:
    @pytest.fixture
    def published(self, server: str, tmp_path: Path, monkeypatch) -> Path:
        """An archive of CUB with empty images, on the server."""
        path = tmp_path / "CUB_200_2011.tgz"
        names = [f"CUB_200_2011/images/{i:03d}.Bird/{i}.jpg" for i in range(1, 201)]
        archive(path, "attributes.txt", *names)
        monkeypatch.setattr(download, "CUB_URL", f"{server}/cub")
        monkeypatch.setattr(download, "CUB_MD5", hashlib.md5(path.read_bytes()).hexdigest())
        monkeypatch.setitem(FILES, "/cub", path.read_bytes())
        return path

    def test_is_unpacked_once_and_its_archive_deleted(self, published: Path, tmp_path: Path, monkeypatch):
        download.cub(tmp_path / "to", quiet=True)
        assert len(list((tmp_path / "to").glob("CUB_200_2011/images/*/*.jpg"))) == 200
        assert sorted(path.name for path in (tmp_path / "to").iterdir()) == [
            ".CUB_200_2011.lock",
            "CUB_200_2011",
        ]
        monkeypatch.setattr(download, "fetch", None)  # fails if it is called again
        download.cub(tmp_path / "to", quiet=True)

    def test_a_wrong_archive_is_deleted(self, published: Path, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(download, "CUB_MD5", "0" * 32)
        with pytest.raises(FsbenchError, match="MD5 must be"):
            download.cub(tmp_path / "to", quiet=True)
        assert [path.name for path in (tmp_path / "to").iterdir()] == [".CUB_200_2011.lock"]


class TestTorchvision:
    @staticmethod
    def pretend(monkeypatch, module, arrives) -> list[str]:
        """Replace torchvision's download and its check of the files; return the recorded requests."""
        requests: list[str] = []

        def get(url: str, root: str, filename: str, md5: str) -> None:
            sys.stdout.write(f"Downloading {url}\n")
            requests.append(f"{url} {md5}")
            arrives(Path(root), filename)

        monkeypatch.setattr(module, "download_and_extract_archive", get)
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: Path(path).exists())
        return requests

    def test_omniglot(self, tmp_path: Path, monkeypatch, capsys):
        def arrives(root: Path, filename: str) -> None:
            folder = root / filename.removesuffix(".zip") / "Greek" / "character01"
            folder.mkdir(parents=True)
            (root / filename).touch()
            (folder / "0001_01.png").touch()

        requests = self.pretend(monkeypatch, torchvision.datasets.omniglot, arrives)
        for _ in range(2):
            download.omniglot(tmp_path, quiet=True)
        assert [line.split("/")[-1] for line in requests] == [
            "images_background.zip 68d2efa1b9178cc56df9314c21c6e718",
            "images_evaluation.zip 6b91aef0f799c5bb55b94e3f2daec811",
        ]
        assert len(list((tmp_path / "omniglot-py").rglob("0001_01.png"))) == 2
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize("terminal", [True, False])
    def test_torchvision_prints_only_on_a_terminal(self, tmp_path: Path, monkeypatch, capsys, terminal: bool):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
        self.pretend(monkeypatch, torchvision.datasets.omniglot, lambda root, _: root.mkdir(exist_ok=True))
        with pytest.raises(FsbenchError, match="Omniglot cannot be downloaded"):
            download.omniglot(tmp_path, quiet=False)
        output = capsys.readouterr()
        assert output.out == ""
        assert ("Downloading" in output.err) == terminal

    @pytest.mark.parametrize(
        "error", [ConnectionError("reset"), RuntimeError("File not found\nor corrupted.")]
    )
    def test_a_torchvision_failure_gives_one_line_and_keeps_no_file(
        self, tmp_path: Path, monkeypatch, capsys, error
    ):
        def arrives(root: Path, filename: str) -> None:
            (root / "cifar-100-python").mkdir(parents=True)
            raise error

        requests = self.pretend(monkeypatch, torchvision.datasets.cifar, arrives)
        cache = tmp_path / "cache"
        assert main(["data", "prepare", "cifar-fs", "--download", "--cache", str(cache), "--quiet"]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err == f"fsbench: CIFAR100 cannot be downloaded ({' '.join(str(error).split())})\n"
        assert requests[0].endswith("/cifar-100-python.tar.gz eb9058c3a382ffc7106e4002c42a8d85")
        assert [path.name for path in (cache / "downloads" / "cifar-fs").iterdir()] == [
            ".cifar-100-python.lock"
        ]


@pytest.mark.parametrize("name", ["mini-imagenet", "tiered-imagenet", "mine"])
def test_the_error_without_a_download_describes_the_expected_files(name: str, tmp_path: Path, capsys):
    assert main(["data", "prepare", name, "--download", "--cache", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        f"fsbench: --download: available only for cifar-fs, cub, omniglot, but the data set is {name}; "
    )
    assert f"use fsbench data prepare {name} PATH, where PATH must hold " in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())
