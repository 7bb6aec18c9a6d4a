from pathlib import Path

import pytest

from fsbench.models import checkpoint


def test_equal_content_is_an_equal_file(trained: Path, tmp_path: Path):
    """Features and results are keyed by the digest of the file, so its bytes must not vary."""
    tensors, _ = checkpoint.read(trained / "best.safetensors")
    provenance = checkpoint.load_provenance(trained / "best.safetensors")
    written = set()
    for number in range(8):
        checkpoint.write(tmp_path / f"{number}.safetensors", tensors, provenance)
        written.add((tmp_path / f"{number}.safetensors").read_bytes())
    assert len(written) == 1


@pytest.mark.linux
def test_tensors_do_not_map_their_file(trained: Path):
    """A resumed run replaces the file that it was read from, which Windows refuses for a mapped file."""
    path = trained / "best.safetensors"
    tensors, _ = checkpoint.read(path)
    assert tensors
    assert str(path) not in Path("/proc/self/maps").read_text(encoding="utf-8")
