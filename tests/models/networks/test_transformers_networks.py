"""transformers opens the directories of our networks, and what it saves opens here."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForSpeechSeq2Seq,
    BertModel,
    ClapModel,
    PreTrainedModel,
    WhisperForConditionalGeneration,
)

from curation.models import weights
from curation.models.networks.dual_encoder import DualEncoder
from curation.models.networks.saved_network import SavedNetwork
from curation.models.networks.tag_guided_captioner import TagGuidedCaptioner
from curation.models.networks.transformers_networks import (
    TransformersCaptioner,
    TransformersDualEncoder,
    TransformersDualEncoderConfig,
)
from curation.models.reference import reference_model_dir


def assert_same_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(theirs[name], value), name


def open_in_transformers(folder: Path | str, network: SavedNetwork) -> PreTrainedModel:
    captioner = isinstance(network, TagGuidedCaptioner)
    auto, expected = (
        (AutoModelForSpeechSeq2Seq, TransformersCaptioner)
        if captioner
        else (AutoModel, TransformersDualEncoder)
    )
    model, report = auto.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert isinstance(model, expected)
    assert not any(report.values()), report
    return model.eval()


@pytest.mark.parametrize(
    ("kind", "network_class"), [("captioner", TagGuidedCaptioner), ("clap", DualEncoder)]
)
def test_the_reference_models_open_and_are_saved_again(
    kind: str, network_class: type[SavedNetwork], tmp_path: Path
) -> None:
    folder = Path(reference_model_dir(kind))  # type: ignore[arg-type]
    network = weights.load_network(folder, network_class, "cpu")
    theirs = open_in_transformers(folder, network)
    assert_same_weights(network, theirs)
    theirs.save_pretrained(tmp_path)
    again = weights.load_network(tmp_path, network_class, "cpu")
    assert again.config == network.config
    assert_same_weights(network, again)


def test_other_classes_of_transformers_refuse_a_network_of_ours(
    captioner: TagGuidedCaptioner, dual_encoder: DualEncoder, tmp_path: Path
) -> None:
    """They would fill in random weights for all names that they do not find."""
    for network in (captioner, dual_encoder):
        folder = tmp_path / network.config.model_type
        weights.save_network(network, folder)
        for other in (ClapModel, BertModel, WhisperForConditionalGeneration):
            with pytest.raises(OSError, match="no file named model.safetensors"):
                other.from_pretrained(folder)


def test_what_is_saved_here_opens_there(
    captioner: TagGuidedCaptioner, dual_encoder: DualEncoder, tmp_path: Path
) -> None:
    for network in (captioner, dual_encoder):
        folder = tmp_path / network.config.model_type
        weights.save_network(network, folder)
        assert_same_weights(network, open_in_transformers(folder, network))


def test_logits_are_those_of_the_network(dual_encoder: DualEncoder) -> None:
    theirs = TransformersDualEncoder(TransformersDualEncoderConfig(**dual_encoder.config.to_dict()))
    theirs.load_state_dict(dual_encoder.state_dict())
    waveforms, lengths = torch.randn(2, 5000), torch.tensor([5000, 4000])
    ids = torch.tensor([[1, 5, 7, 2], [1, 6, 4, 2]])
    inputs = waveforms, lengths, ids, torch.ones_like(ids)
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(*inputs), dual_encoder(*inputs))
