"""Every YAML of `examples/`, and every one that the README prints, is a valid configuration."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from curation.run.config_file import parse_run_config, read_run_config
from tests.support.paths import REPOSITORY
from training.config.config_file import load_training_config
from training.config.pretrain import PretrainConfig

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))
README = (REPOSITORY / "README.md").read_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_valid_configuration(path: Path) -> None:
    if "catalog" in yaml.safe_load(path.read_text()):
        assert read_run_config(str(path)).run
    else:
        assert load_training_config(str(path), PretrainConfig).data.tables


def test_recipes_name_released_models_for_captions_and_scores() -> None:
    for name in ("one_gpu.yaml", "cluster.yaml"):
        config = read_run_config(str(REPOSITORY / "examples" / name))
        assert "reference" not in (config.captioner.model, config.scorer.model)
        assert config.captioner.revision and config.scorer.revision


def test_the_readme_prints_a_valid_configuration() -> None:
    found = [block for block in _code_blocks(README) if block.startswith("run: ")]
    assert found
    for block in found:
        values: Any = yaml.safe_load(block)
        assert parse_run_config(values, "README.md").run.endswith(values["run"])


def _code_blocks(text: str) -> list[str]:
    """The indented blocks of a Markdown text, without their indentation."""
    blocks = re.findall(r"(?:^    .*\n|^\n)+", text, re.MULTILINE)
    return [textwrap.dedent(block).strip("\n") for block in blocks if block.strip()]
