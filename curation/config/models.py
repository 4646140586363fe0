"""The model sections of a run's YAML: captioner, scorers and tagger."""

from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from curation.section import ModelPath, Section
from curation.tags import ontology

Dtype = Literal["bfloat16", "float16", "float32"]
Guidance = Literal["tags", "none"]

TAGGED_PROMPT = (
    "Possible events in this recording, some of which may be wrong: {tags}. Listen, and describe "
    "in one sentence of 8 to 20 words, in the present tense, only what can be heard. Do not repeat "
    "the list, do not quote speech, and write nothing but the sentence."
)
UNTAGGED_PROMPT = (
    "Listen, and describe in one sentence of 8 to 20 words, in the present tense, only what can be "
    "heard. Do not quote speech, and write nothing but the sentence."
)

# What `ray.data.llm` of the Ray that this package wants is built for.
VLLM_VERSION = "0.29.0"
# Arguments of vLLM's engine that other keys set.
REVISIONS = ("revision", "code_revision", "tokenizer_revision")
_ENGINE_KEYS_BY_YAML_KEY = {
    "model": "captioner.model",
    **dict.fromkeys(REVISIONS, "captioner.revision"),
    "dtype": "captioner.dtype",
    "trust_remote_code": "captioner.trust_remote_code",
    "tensor_parallel_size": "annotate.pools.captioners.gpus",
}


class TagGuidedConfig(Section):
    """The captioner of this package, and the tags given to it."""

    kind: Literal["tag_guided"] = Field("tag_guided", description="The kind of captioner.")
    model: ModelPath = Field(
        "reference", description="'reference' (built in), a directory, or a hub id (with revision)."
    )
    revision: str | None = Field(None, description="The pinned revision of a hub id.")
    guidance: Guidance = Field(
        "tags",
        description="tags: give the clip's leaf tags to the captioner; none: caption without tags.",
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="Tags below this confidence are not given to the captioner."
    )
    candidates: int = Field(
        4, ge=1, description="Captions per clip: one by beam search, the rest sampled."
    )
    beams: int = Field(3, ge=1, description="Width of the beam search.")
    temperature: float = Field(0.7, gt=0, description="Temperature of the sampled candidates.")


class PretrainedConfig(Section):
    """A model that transformers loads: a directory, or a hub id with a pinned revision."""

    model: ModelPath = Field(description="A directory, or a hub id (with revision).")
    revision: str | None = Field(
        None, description="The pinned revision of a hub id: a commit, tag or branch."
    )
    dtype: Dtype = Field("bfloat16", description="Precision of weights and computation.")
    trust_remote_code: bool = Field(
        False, description="Run Python code from the model's directory; needs a revision."
    )

    @model_validator(mode="after")
    def _code_is_pinned(self) -> Self:
        if self.trust_remote_code and not self.revision:
            raise ValueError(
                "trust_remote_code runs the model's own code: name the revision that was read"
            )
        return self


class PromptedConfig(PretrainedConfig):
    """An audio-language model that is prompted to write a caption."""

    kind: Literal["audio_llm", "vllm"] = Field(description="The kind of captioner.")
    guidance: Guidance = Field(
        "tags",
        description="tags: name the clip's leaf tags in the prompt; none: caption without tags.",
    )
    min_confidence: float = Field(
        0.0, ge=0, le=1, description="Tags below this confidence are not named."
    )
    candidates: int = Field(4, ge=1, description="Captions per clip, all sampled.")
    temperature: float = Field(0.9, gt=0, description="Temperature of the samples.")
    top_p: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Share of the probability mass to sample from (nucleus sampling).",
    )
    max_tokens: int = Field(64, ge=1, description="The longest caption, in tokens.")
    prompt: str = Field(
        TAGGED_PROMPT, description="Prompt for a clip with tags; {tags} becomes their names."
    )
    untagged_prompt: str = Field(
        UNTAGGED_PROMPT,
        description="Prompt for a clip without tags; '' for models that take no prompt.",
    )

    @model_validator(mode="after")
    def _prompt_names_tags(self) -> Self:
        if self.guidance == "tags" and "{tags}" not in self.prompt:
            raise ValueError("prompt does not say where the tags go; put {tags} into it")
        if self.guidance == "tags" and not self.untagged_prompt:
            raise ValueError("a model that takes no prompt takes no tags: set guidance: none")
        return self


class AudioLlmConfig(PromptedConfig):
    """An audio-language model with a chat template, such as Qwen2-Audio."""

    kind: Literal["audio_llm"] = Field("audio_llm", description="The kind of captioner.")


class VllmConfig(PromptedConfig):
    """An audio-language model that vLLM runs in an environment of its own."""

    kind: Literal["vllm"] = Field("vllm", description="The kind of captioner.")
    version: str = Field(
        VLLM_VERSION,
        description="The release of vLLM, stored in run.json; workers must have it.",
    )
    engine: dict[str, Any] = Field(
        {}, description="Arguments of vLLM's engine, such as {max_model_len: 4096}."
    )
    runtime_env: dict[str, Any] = Field(
        {},
        description="Ray's runtime environment of vLLM's actors, such as {py_executable: "
        "/opt/vllm/bin/python}; {}: the environment of all workers.",
    )

    @field_validator("engine")
    @classmethod
    def _no_duplicate_keys(cls, engine: dict[str, Any]) -> dict[str, Any]:
        duplicates = sorted(engine.keys() & _ENGINE_KEYS_BY_YAML_KEY.keys())
        if duplicates:
            named = ", ".join(f"{name} by {_ENGINE_KEYS_BY_YAML_KEY[name]}" for name in duplicates)
            raise ValueError(f"already set elsewhere: {named}; remove it here")
        return engine


class UntaggedConfig(PretrainedConfig):
    """A captioner that takes no tags. It writes captions by beam search and by sampling."""

    kind: Literal["encoder_decoder", "remote_code"] = Field(description="The kind of captioner.")
    guidance: Literal["none"] = Field("none", description="Always none: this kind takes no tags.")
    min_confidence: float = Field(0.0, ge=0, le=1, description="Not used: this kind takes no tags.")
    candidates: int = Field(
        4, ge=1, description="Captions per clip: one by beam search, the rest sampled."
    )
    beams: int = Field(3, ge=1, description="Width of the beam search.")
    temperature: float = Field(0.7, gt=0, description="Temperature of the sampled candidates.")
    max_tokens: int = Field(64, ge=1, description="The longest caption, in tokens.")


class EncoderDecoderConfig(UntaggedConfig):
    """A speech-to-text model that was trained to write captions, such as a Whisper."""

    kind: Literal["encoder_decoder"] = Field(
        "encoder_decoder", description="The kind of captioner."
    )


class RemoteCodeConfig(UntaggedConfig):
    """A captioner with its own Python code for all steps from audio to text, such as effb2-trm."""

    kind: Literal["remote_code"] = Field("remote_code", description="The kind of captioner.")
    dtype: Literal["float32"] = Field(
        "float32", description="Its built-in front end needs full precision."
    )
    tokenizer: ModelPath | None = Field(
        None, description="A directory or hub id of its tokenizer, if that is elsewhere."
    )
    tokenizer_revision: str | None = Field(
        None, description="The pinned revision of the tokenizer's hub id."
    )
    max_tokens: int = Field(20, ge=1, description="The longest caption, in tokens.")


class DualEncoderScorerConfig(Section):
    """A CLAP model of this package (including BLAT's), or a CLAP model of transformers."""

    kind: Literal["dual_encoder", "clap"] = Field(
        "dual_encoder",
        description="dual_encoder or clap: one adapter; the model's config.json decides.",
    )
    model: ModelPath = Field(
        "reference",
        description="'reference' (built in), a directory as tagscribe-train or transformers' CLAP "
        "writes it, or a hub id (with revision).",
    )
    revision: str | None = Field(None, description="The pinned revision of a hub id.")


class PeAudioScorerConfig(PretrainedConfig):
    """A PE-AV audio-text model of transformers (PeAudioModel)."""

    kind: Literal["pe_audio"] = Field("pe_audio", description="The kind of scorer.")


class TaggerConfig(PretrainedConfig):
    """An audio classifier of transformers that predicts AudioSet's classes, such as AST."""

    top_k: int = Field(5, ge=1, description="Maximum number of tags per clip.")
    threshold: float = Field(0.3, ge=0, le=1, description="Minimum confidence of a tag.")
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        {},
        description="Thresholds of single classes, by AudioSet's name or id, such as "
        "'Speech: 0.6'.",
    )

    @field_validator("thresholds")
    @classmethod
    def _by_id(cls, thresholds: dict[str, float]) -> dict[str, float]:
        return {ontology.find_tag(label).mid: least for label, least in thresholds.items()}


def _kind(value: Any, default: str) -> str:
    kind = value.get("kind", default) if isinstance(value, dict) else value.kind
    return default if kind == "clap" else str(kind)


CaptionerConfig = Annotated[
    Annotated[TagGuidedConfig, Tag("tag_guided")]
    | Annotated[AudioLlmConfig, Tag("audio_llm")]
    | Annotated[EncoderDecoderConfig, Tag("encoder_decoder")]
    | Annotated[RemoteCodeConfig, Tag("remote_code")]
    | Annotated[VllmConfig, Tag("vllm")],
    Discriminator(lambda value: _kind(value, "tag_guided")),
]

ScorerConfig = Annotated[
    Annotated[DualEncoderScorerConfig, Tag("dual_encoder")]
    | Annotated[PeAudioScorerConfig, Tag("pe_audio")],
    Discriminator(lambda value: _kind(value, "dual_encoder")),
]
