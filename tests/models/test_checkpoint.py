from pathlib import Path

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
