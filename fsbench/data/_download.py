"""Download data sets from their publishers and verify checksums."""

import hashlib
import io
import shutil
import sys
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import HTTPError, URLError

from fsbench._util.errors import FsbenchError, reason
from fsbench._util.files import atomic_write, exclusive_lock
from fsbench._util.progress import progress

CUB_URL = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
CUB_MD5 = "97eceeb196236b17998738112f37df78"


def cifar100(folder: Path, *, quiet: bool) -> None:
    """Download CIFAR-100 with torchvision, which verifies it."""
    from torchvision.datasets import CIFAR100

    _download_whole(folder / "cifar-100-python", lambda part: _by_torchvision(CIFAR100, part, quiet=quiet))


def omniglot(folder: Path, *, quiet: bool) -> None:
    """Download both parts of Omniglot with torchvision, which verifies them."""
    from torchvision.datasets import Omniglot

    def get(part: Path) -> None:
        for background in (True, False):
            _by_torchvision(Omniglot, part, background=background, quiet=quiet)

    _download_whole(folder / "omniglot-py", get)


def cub(folder: Path, *, quiet: bool) -> None:
    """Download CUB-200-2011 from Caltech."""

    def get(part: Path) -> None:
        archive = part / "CUB_200_2011.tgz"
        fetch(CUB_URL, CUB_MD5, archive, quiet=quiet)
        unpack(archive, part)

    _download_whole(folder / "CUB_200_2011", get)


def fetch(url: str, md5: str, path: Path, *, quiet: bool) -> None:
    """Download a file; `path` has this checksum afterwards, or nothing is written.

    Raises:
        FsbenchError: The server does not answer, the connection breaks off, the checksum differs, or the disk
            is full.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with (
        _open_url(url) as answer,
        atomic_write(path) as part,
        part.open("wb") as file,
        progress(path.name, answer.length, "bytes", quiet=quiet) as bar,
    ):
        for block in _blocks(url, answer):
            file.write(block)
            digest.update(block)
            bar.update(len(block))
        if digest.hexdigest() != md5:
            raise FsbenchError(f"{url}: MD5 must be {md5}, but is {digest.hexdigest()}; nothing was kept")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive below a folder.

    Raises:
        FsbenchError: The archive is damaged, a member would lie outside the folder, or the disk is full.
    """
    try:
        with tarfile.open(archive) as tar:
            # Python has the filter since 3.11.4; older versions rely on the checksum alone.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(folder)  # noqa: S202 - the line above filters
    except Exception as error:  # damaged or forged archives raise errors of many kinds
        raise FsbenchError(f"cannot unpack {archive}: {reason(error)}") from error


def _download_whole(target: Path, get: Callable[[Path], None]) -> None:
    """Let `get` write the target into a temporary folder, then move it, so that it is complete or absent."""
    with exclusive_lock(target):
        for partial in target.parent.glob(f".{target.name}.*.part"):  # left by a killed process
            shutil.rmtree(partial, ignore_errors=True)
        if target.is_dir():
            return
        try:
            with TemporaryDirectory(prefix=f".{target.name}.", suffix=".part", dir=target.parent) as part:
                get(Path(part))
                (Path(part) / target.name).replace(target)
        except OSError as error:
            raise FsbenchError(f"cannot write {target}: {reason(error)}") from error


def _by_torchvision(dataset: Callable[..., object], folder: Path, *, quiet: bool, **options: bool) -> None:
    """Let torchvision download a data set; what it prints goes to stderr, as stdout is for results."""
    output = io.StringIO() if quiet or not sys.stderr.isatty() else sys.stderr
    with redirect_stdout(output), redirect_stderr(output):
        try:
            dataset(folder, download=True, **options)
        except Exception as error:  # of sockets, archives, checksums or disks; torchvision catches none
            name = getattr(dataset, "__name__", dataset)
            raise FsbenchError(f"{name} cannot be downloaded ({reason(error)})") from error


def _open_url(url: str) -> HTTPResponse:
    """Request a URL and return the response."""
    try:
        answer: HTTPResponse = urllib.request.urlopen(url, timeout=60)  # noqa: S310 - publishers' own addresses
    except (OSError, HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()  # it holds the connection
        cause = error.reason if type(error) is URLError and isinstance(error.reason, OSError) else error
        raise FsbenchError(f"{url}: cannot be fetched ({reason(cause)})") from error
    return answer


def _blocks(url: str, answer: HTTPResponse) -> Iterator[bytes]:
    """Yield the content in parts of 1 MiB; errors of the connection are told apart from those of the disk."""
    try:
        while block := answer.read(1 << 20):
            yield block
    except (OSError, HTTPException) as error:
        raise FsbenchError(f"{url}: cannot be fetched ({reason(error)})") from error
    if answer.length:
        raise FsbenchError(
            f"{url}: cannot be fetched (the connection broke off, {answer.length:,} bytes are missing)"
        )
