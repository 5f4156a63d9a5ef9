"""One browser and one JupyterLab for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.jupyter.lab import Lab, running
from tests.jupyter.serving import workspace


@pytest.fixture(scope="package")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the notebooks, with the sample data beside them."""
    return workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="package")
def lab(
    browser: Browser, notebooks: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """Run one JupyterLab in the copy."""
    with running(browser, notebooks, tmp_path_factory.mktemp("lab")) as jupyterlab:
        yield jupyterlab
