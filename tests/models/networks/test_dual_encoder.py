"""The dual encoder is BLAT's by default, embeds on the unit sphere, and ignores padding."""

from pathlib import Path

import pytest
import torch

from curation.models import weights
from curation.models.networks.cnn14 import Cnn14Config
from curation.models.networks.dual_encoder import (
    DualEncoder,
    DualEncoderConfig,
    normalise_like_blat,
)


def test_default_is_blats_pair() -> None:
    config = DualEncoderConfig()
    with torch.device("meta"):
        model = DualEncoder(config)
    assert config.frontend.sample_rate_hz == 32_000
    assert config.max_text_tokens == 30
    assert (model.audio_projection.in_features, model.audio_projection.out_features) == (2048, 1024)
    assert (model.text_projection.in_features, model.text_projection.out_features) == (512, 1024)
    assert sum(p.numel() for p in model.audio.parameters()) == 79_673_792
    assert config.logit_scale_init == pytest.approx(2.6593, abs=1e-4)  # ln(1 / 0.07)


def test_normalised_as_blat_does() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    torch.testing.assert_close(normalise_like_blat(x), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_padding_does_not_change_an_embedding(dual_encoder: DualEncoder) -> None:
    clips = [torch.randn(samples) for samples in (4000, 9000, 5555)]
    lengths = torch.tensor([len(clip) for clip in clips])
    batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True, padding_value=3.0)
    with torch.no_grad():
        together = dual_encoder.encode_audio(batch, lengths)
        for row, clip in enumerate(clips):
            alone = dual_encoder.encode_audio(clip[None], lengths[row : row + 1])[0]
            torch.testing.assert_close(together[row], alone)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))


def test_text_padding_does_not_change_an_embedding(dual_encoder: DualEncoder) -> None:
    ids = torch.tensor([[1, 5, 7, 2]])
    padded = torch.tensor([[1, 5, 7, 2, 0, 0]])
    with torch.no_grad():
        alone = dual_encoder.encode_text(ids, torch.ones_like(ids))
        together = dual_encoder.encode_text(padded, (padded > 0).long())
    torch.testing.assert_close(alone, together)


def test_logits_are_scaled_cosines(dual_encoder: DualEncoder) -> None:
    waveforms, lengths = torch.randn(2, 5000), torch.tensor([5000, 5000])
    ids = torch.tensor([[1, 5, 7, 2], [1, 6, 4, 2]])
    with torch.no_grad():
        logits = dual_encoder(waveforms, lengths, ids, torch.ones_like(ids))
    assert logits.shape == (2, 2)
    assert logits.abs().max() <= 1 / 0.07 + 1e-3


def test_saved_and_reloaded_it_is_the_same(dual_encoder: DualEncoder, tmp_path: Path) -> None:
    dual_encoder.save_pretrained(tmp_path)
    again = weights.load_network(tmp_path, DualEncoder, "cpu")
    waveforms, lengths = torch.randn(1, 5000), torch.tensor([5000])
    with torch.no_grad():
        torch.testing.assert_close(
            again.encode_audio(waveforms, lengths), dual_encoder.encode_audio(waveforms, lengths)
        )
    assert again.logit_scale.item() == dual_encoder.logit_scale.item()


def test_any_text_encoder_will_do() -> None:
    text = {
        "model_type": "distilbert",
        "dim": 16,
        "hidden_dim": 16,
        "n_heads": 2,
        "n_layers": 1,
        "vocab_size": 20,
    }
    cnn = Cnn14Config(channels=(4, 4), convs_per_block=1, embed_dim=6)
    model = DualEncoder(DualEncoderConfig(cnn=cnn, text=text, embed_dim=8)).eval()
    assert model.encode_text(torch.tensor([[1, 2]]), torch.ones(1, 2)).shape == (1, 8)


def test_text_is_pooled_over_what_the_mask_shows(dual_encoder: DualEncoder) -> None:
    config = DualEncoderConfig.from_dict({**dual_encoder.config.to_dict(), "text_pooling": "mean"})
    model = DualEncoder(config).eval()
    ids = torch.tensor([[1, 5, 7, 2, 0, 0]])
    mask = (ids > 0).long()
    with torch.no_grad():
        hidden = model.text(input_ids=ids, attention_mask=mask).last_hidden_state
        torch.testing.assert_close(model.pool_text(ids, mask), hidden[:, :4].mean(dim=1))
        torch.testing.assert_close(
            model.project_text(model.pool_text(ids, mask)), model.encode_text(ids, mask)
        )
        first = dual_encoder.text(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        torch.testing.assert_close(dual_encoder.pool_text(ids, mask), first)


def test_checkpointing_changes_neither_gradients_nor_statistics(dual_encoder: DualEncoder) -> None:
    ids = torch.tensor([[1, 5, 7, 2], [1, 6, 4, 2]])
    clips, lengths = torch.randn(2, 9000), torch.tensor([9000, 7000])
    results = []
    for enabled in (False, True):
        model = DualEncoder(dual_encoder.config)
        model.load_state_dict(dual_encoder.state_dict())
        model.train().gradient_checkpointing(enabled)
        torch.manual_seed(0)
        logits = model(clips, lengths, ids, torch.ones_like(ids))
        torch.nn.functional.cross_entropy(logits, torch.arange(2)).backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        results.append({**dict(model.named_buffers()), **gradients})
    plain, checkpointed = results
    assert plain.keys() == checkpointed.keys()
    for name, value in plain.items():
        torch.testing.assert_close(checkpointed[name], value, msg=name)


def test_checkpointing_keeps_fewer_activations(dual_encoder: DualEncoder) -> None:
    features, lengths = dual_encoder.features(torch.randn(2, 9000), torch.tensor([9000, 9000]))
    kept = []
    for enabled in (False, True):
        model = DualEncoder(dual_encoder.config).train()
        model.gradient_checkpointing(enabled)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x
        ):
            model.encode_features(features, lengths)
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2
