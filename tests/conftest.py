"""Small real inputs that many tests share."""

import os
import shutil
from collections.abc import Iterator
from urllib.request import Request, urlopen

import numpy as np
import pytest
import torch

from study.networks.backbones import untrained
from study.networks.classifier import Classifier, Head

CLASSES = ["plane", "bird", "cat"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # of pytest -n, whose workers' threads would wait for each other
        os.environ["OMP_NUM_THREADS"] = "1"  # of the scripts that tests start
        torch.set_num_threads(1)


@pytest.fixture
def images() -> np.ndarray:
    """Forty uint8 images, (40, 32, 32, 3)."""
    return np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def model() -> Classifier:
    """A small-resolution classifier with random weights, in evaluation mode."""
    torch.manual_seed(0)
    return Classifier(untrained("resnet18"), Head(hidden=[8], dropout=0.5), CLASSES, image_size=32).eval()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are written without their pictures and without the code that draws diagrams, which take seconds."""
    monkeypatch.setattr("study.reporting.page.drawn", lambda figure, lossless=True: "data:image/webp;base64,")
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda **_: "")


@pytest.fixture(scope="session")
def browser_path() -> str:
    """Of a browser. Without one its tests are skipped, but on CI, where CI=true, they fail."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"no browser is installed (looked for {', '.join(BROWSERS)}): on Debian, apt-get install chromium")
    return path


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3-compatible server on this machine, with one `bucket`; the environment has its keys."""
    pytest.importorskip("dvc_s3", reason="needs dvc-s3, of requirements/dev.txt")
    server = pytest.importorskip("moto.server", reason="needs moto, of requirements/dev.txt").ThreadedMotoServer(
        "127.0.0.1", 0, verbose=False
    )
    environment = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1"}
    for name, value in (environment | dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    urlopen(Request(f"{address}/moto-api/reset", method="POST")).close()  # what it held for an earlier test
    urlopen(Request(f"{address}/bucket", method="PUT")).close()
    yield address
    server.stop()
