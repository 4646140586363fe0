"""Directories of a tiny random captioner with code of its own, as those of AudioCaption have it.

Its code is called as theirs is, takes the same liberties with transformers 5 (no `post_init`, no
`model_type`, tied weights, a front end among the weights), and fails where theirs does.
"""

import importlib.util
import json
from pathlib import Path

from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.support import tiny_captioners as tiny
from tests.support.tiny_networks import sharpened

SAMPLE_RATE_HZ = 16_000
CODE = """
import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

START, END = 1, 2


class OwnConfig(PretrainedConfig):
    def __init__(self, sample_rate=16000, vocab_size=4981, **kwargs):
        self.sample_rate = sample_rate
        self.vocab_size = vocab_size
        super().__init__(**kwargs)


class Decoder(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.hears = nn.Linear(33, 16)
        self.embedding = nn.Embedding(words, 16)
        self.places = nn.Parameter(torch.zeros(100, 16))
        self.classifier = nn.Linear(16, words, bias=False)
        self.classifier.weight = self.embedding.weight

    def forward(self, heard, words):
        # Less the last word, which should not follow itself.
        context = self.hears(heard) / 4 + self.places[words.shape[1]]
        scores = self.classifier(torch.tanh(context - self.embedding(words[:, -1])))
        scores[:, END] += words.shape[1] - 6
        scores[:, :END] -= 20
        return scores.log_softmax(dim=-1)


class OwnCaptioningModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("window", torch.hann_window(64))
        self.decoder = Decoder(config.vocab_size)

    def forward(
        self, audio, audio_length, sample_method="beam", beam_size=3, max_length=20, temp=1.0
    ):
        heard = self.heard(audio.to(self.device), torch.as_tensor(audio_length))
        if sample_method == "beam":
            return torch.stack([self.beam(one[None], beam_size, max_length) for one in heard]).cpu()
        return self.sample(heard, max_length, temp).cpu()

    def heard(self, audio, lengths):
        spectrum = torch.stft(audio, 64, 160, window=self.window, return_complex=True)
        decibels = spectrum.abs().clamp(min=1e-5).log10()
        # Of the loudest in the batch, as torchaudio's AmplitudeToDB has it.
        decibels = decibels.clamp(min=decibels.max() - 3)
        frames = (lengths // 160 + 1) // 32 * 32
        seen = torch.arange(decibels.shape[-1]) < frames[:, None]
        return (decibels * seen[:, None]).sum(dim=-1) / frames[:, None]

    def sample(self, heard, max_length, temp):
        ids = torch.full((len(heard), 1), START)
        going = torch.ones(len(heard), dtype=torch.bool)
        for _ in range(max_length):
            scores = self.decoder(heard, ids) / temp
            # What it raises does not depend on what others made the default.
            words = torch.distributions.Categorical(logits=scores, validate_args=True).sample()
            ids = torch.cat([ids, words.where(going, END)[:, None]], dim=1)
            going &= ids[:, -1] != END
        return ids[:, 1:]

    def beam(self, heard, beam_size, max_length):
        beams, done = [(0.0, torch.tensor([[START]]))], []
        for step in range(max_length):
            new = []
            for score, ids in beams:
                best, words = self.decoder(heard, ids)[0].topk(beam_size)
                for more, word in zip(best.tolist(), words):
                    new.append((score + more, torch.cat([ids, word[None, None]], dim=1)))
            new = sorted(new, key=lambda one: -one[0])[:beam_size]
            ended = [one[1][0, -1] == END or step == max_length - 1 for one in new]
            done += [(one[0] / (step + 1), one[1]) for one, end in zip(new, ended) if end]
            beams = [one for one, end in zip(new, ended) if not end]
        best = max(done, key=lambda one: one[0])[1][0, 1:]
        return torch.cat([best, torch.full((max_length - len(best),), END)])
"""
CLASSES = {"AutoConfig": "own_captioner.OwnConfig", "AutoModel": "own_captioner.OwnCaptioningModel"}


def remote_code(folder: Path, words: Path) -> Path:
    """A captioner whose code lies beside its weights; its tokenizer is written elsewhere."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = simple_tokenizer()
    tokenizer.save_pretrained(words)
    code = folder / "own_captioner.py"
    code.write_text(CODE)
    spec = importlib.util.spec_from_file_location("own_captioner", code)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = sharpened(module.OwnCaptioningModel(module.OwnConfig(vocab_size=len(tokenizer))))
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    # Tied to the classifier's, of which it is a second name.
    del tensors["decoder.embedding.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    sizes = {"sample_rate": SAMPLE_RATE_HZ, "vocab_size": len(tokenizer)}
    (folder / "config.json").write_text(json.dumps({"auto_map": CLASSES, **sizes}))
    return folder


def simple_tokenizer() -> PreTrainedTokenizerFast:
    """Words between spaces, behind the four marks of AudioCaption's vocabularies."""
    marks = ["<pad>", "<start>", "<end>", "<unk>"]
    vocabulary = {word: at for at, word in enumerate([*marks, *tiny.WORDS])}
    inner = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.add_special_tokens([AddedToken(mark, special=True) for mark in marks[:3]])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<start>", eos_token="<end>", unk_token="<unk>"
    )
