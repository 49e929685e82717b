"""Every example of the documentation does what it shows."""
import doctest
import pathlib

import pytest

import lowp
import lowp._arrays
import lowp._model

OPTIONS = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL | doctest.NORMALIZE_WHITESPACE
TUTORIAL = pathlib.Path(__file__).parents[2] / "docs" / "python.md"


@pytest.mark.parametrize("module", [lowp, lowp._arrays, lowp._model], ids=lambda m: m.__name__)
def test_docstrings(module):
    result = doctest.testmod(module, optionflags=OPTIONS)
    assert result.attempted > 4 and result.failed == 0


def test_the_tutorial(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(TUTORIAL), module_relative=False, optionflags=OPTIONS)
    assert result.attempted > 20 and result.failed == 0


def test_everything_public_is_documented_and_listed():
    for name in lowp.__all__:
        assert getattr(lowp, name).__doc__, name
    assert lowp.__version__ == lowp.version() == "0.1.0"
