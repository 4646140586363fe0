"""The captioner for a `generate` that keeps keys and values, as transformers' own models do."""

from typing import Any

import torch
from transformers import EncoderDecoderCache
from transformers.modeling_outputs import Seq2SeqLMOutput

from curation.models.networks.transformer import DecoderLayer, KeyValue
from curation.models.networks.transformers_networks import (
    GenerationEncoderOutput,
    TransformersCaptioner,
)


class CachedCaptioner(TransformersCaptioner):
    """The captioner with transformers' caches, as encoder-decoder models of its own have them."""

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        encoder_outputs: GenerationEncoderOutput | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        assert past_key_values is not None
        return {
            "decoder_input_ids": input_ids[:, past_key_values.get_seq_length() :],
            "encoder_outputs": encoder_outputs,
            "past": past_key_values,
        }

    def forward(  # type: ignore[override]
        self,
        decoder_input_ids: torch.Tensor,
        encoder_outputs: GenerationEncoderOutput,
        past: EncoderDecoderCache,
        **_: Any,
    ) -> Seq2SeqLMOutput:
        """Predict the word after the newest one of each caption."""
        decoder = self.decoder
        at = torch.tensor([past.get_seq_length()], device=decoder_input_ids.device)
        x = decoder._embed(decoder_input_ids, at, encoder_outputs.word_bias)
        mask = encoder_outputs.memory_mask[:, None, None, :]
        for index, layer in enumerate(decoder._layers()):
            normed = layer.self_norm(x)
            newest = layer.self_attention.project(normed)
            seen = KeyValue(*past.self_attention_cache.update(*newest, index))
            x = x + layer.self_attention(normed, seen)
            memory = self._memory(layer, index, encoder_outputs, past)
            x = x + layer.memory_attention(layer.memory_norm(x), memory, mask)
            x = x + layer.feed_forward(x)
        return Seq2SeqLMOutput(logits=decoder.head(decoder.norm(x)), past_key_values=past)

    def _memory(
        self,
        layer: DecoderLayer,
        index: int,
        encoded: GenerationEncoderOutput,
        past: EncoderDecoderCache,
    ) -> KeyValue:
        cache = past.cross_attention_cache
        if past.is_updated.get(index):
            return KeyValue(cache.layers[index].keys, cache.layers[index].values)
        past.is_updated[index] = True
        return KeyValue(*cache.update(*layer.project(encoded.last_hidden_state), index))
