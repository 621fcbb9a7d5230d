"""What the tests of the studies share."""

from __future__ import annotations

import pytest

from jpegkeras.experiments import report
from tests import band_networks
from tests.experiments import studies


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """The input of the tests: `studies.write_images`."""
    return studies.write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def without_report(monkeypatch):
    """Leaves out the report, which takes seconds to draw."""
    monkeypatch.setattr(report, "write_report", lambda *_: [])


@pytest.fixture
def tiny_studies(tiny_network):
    """Puts tiny networks in the places of "rgb", "fbs16" and those on other bands."""
    undo = studies.make_networks_tiny()
    band_networks.add_band_network()
    yield
    band_networks.remove_band_network()
    undo()
