"""Where the lines are run."""

import pytest

from tests.fuzz.judged import emptied


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An empty working directory."""
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder
    emptied(folder)
