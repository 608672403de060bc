"""Texts that are read as tables."""

import warnings

import pytest

from skmpcc.command.reading import read


@pytest.fixture
def taken(tmp_path):
    """Read a text as a table: names, values and warnings."""

    def take(text, name="data.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            samples = read(path, **options)
        return samples.names, samples.X.to_numpy().tolist(), [str(each.message) for each in caught]

    return take
