"""Load a CLIP by name: `tiny`, or an open_clip ResNet by pretrained tag or checkpoint file.

Weights come to a machine once, whoever of its processes is first: see `pipelines.io.cache`.
"""

import contextlib
import difflib
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from pipelines.errors import UsageError
from pipelines.io.cache import local_copy, one_at_a_time
from pipelines.io.preprocess import Preprocess, preprocess_of
from pipelines.io.redaction import without_secrets
from pipelines.model_spec import How, ModelSpec
from pipelines.tiny import model as tiny
from pipelines.vision import OPENAI_IMAGENET_TEMPLATES, open_clip

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
RANDOM_SEED = 0
Tokenizer = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class LoadedModel:
    """A CLIP in eval mode with what belongs to it."""

    model: Any
    preprocess: Callable[[Any], torch.Tensor]
    """open_clip's own transform: a PIL image → [3,S,S], what the model takes."""
    pixels: Preprocess
    """The same in two steps, as extraction does it."""
    tokenizer: Tokenizer
    weights_sha256: str
    spec: ModelSpec

    @property
    def preprocess_id(self) -> str:
        """Short name of the preprocessing."""
        return self.pixels.id


def load_model(
    name: str = "tiny",
    pretrained: str | None = None,
    checkpoint: str | None = None,
    device: str = "cpu",
    how: How = "fast",
) -> LoadedModel:
    """Load a model with its preprocessing and tokenizer, in fp32 and eval mode, on `device`.

    Raises UsageError for an unknown name or tag, a model without neuron-head pairs, weights that
    cannot be had or are not finite, and a checkpoint that does not fit. `how` images are prepared
    is told in `pipelines.io.preprocess`.
    """
    spec = ModelSpec(name, pretrained, checkpoint)
    if name == "tiny":
        clip, transform, tokenizer = _tiny(spec)
    else:
        clip, transform, tokenizer = _open_clip(spec)
    pixels = preprocess_of(transform, how)
    _check_finite(clip)
    clip = clip.eval().requires_grad_(False).to(device)
    return LoadedModel(clip, transform, pixels, tokenizer, weights_sha256(clip), spec)


def _check_finite(clip: torch.nn.Module) -> None:
    bad = [name for name, tensor in clip.state_dict().items() if not tensor.isfinite().all()]
    if bad:
        raise UsageError(
            f"the weights are broken: {len(bad)} tensors hold values that are not finite, first "
            f"{bad[0]}; get the checkpoint again"
        )


def _tiny(spec: ModelSpec) -> tuple[Any, Any, Tokenizer]:
    if spec.pretrained == "none":
        with torch.random.fork_rng():
            torch.manual_seed(RANDOM_SEED)
            clip = tiny.build()
    elif spec.pretrained:
        raise UsageError("the tiny model has one set of weights; leave out --pretrained")
    else:
        path = _file(spec.checkpoint or str(tiny.weights_path()))
        try:
            clip = tiny.load(path)
        except Exception as error:
            raise UsageError(f"{path} does not fit the tiny model: {_short(error)}") from error
    return clip, tiny.preprocess(), tiny.tokenizer()


def _open_clip(spec: ModelSpec) -> tuple[Any, Any, Tokenizer]:
    _check_name(spec.name)
    pretrained = _pretrained(spec)
    try:
        with _quiet(), torch.random.fork_rng():
            _download(spec)
            torch.manual_seed(RANDOM_SEED)
            clip, _, preprocess = open_clip.create_model_and_transforms(
                spec.name, pretrained=pretrained, device="cpu", weights_only=True
            )
    except Exception as error:
        raise _weights_error(spec, error) from error
    return clip, preprocess, open_clip.get_tokenizer(spec.name)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of open_clip and the hub: what goes wrong is said once, by our own error."""
    loggers = [logging.getLogger(name) for name in (None, "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check_name(name: str) -> None:
    known = [m for m in open_clip.list_models() if m.startswith("RN")]
    if name in known:
        return
    if name in open_clip.list_models():
        raise UsageError(
            f"{name} has no ResNet attention pool, so no neuron-head pairs; "
            f"choose one of: tiny, {', '.join(known)}"
        )
    close = difflib.get_close_matches(name, ["tiny", *known], n=3, cutoff=0.4) or ["tiny", *known]
    raise UsageError(f"no model is called '{name}'; did you mean {' or '.join(close)}?")


def _pretrained(spec: ModelSpec) -> str | None:
    """What open_clip's `pretrained` argument must be: a tag, a file, or None for random weights."""
    if spec.checkpoint:
        if spec.pretrained:
            raise UsageError("give --pretrained or --checkpoint, not both")
        return _file(spec.checkpoint)
    tags = open_clip.list_pretrained_tags_by_model(spec.name)
    if spec.pretrained == "none":
        return None
    if spec.pretrained is None:
        raise UsageError(
            f"{spec.name} needs weights: --pretrained {'|'.join(tags) or 'TAG'}, "
            "--checkpoint FILE, or --pretrained none for random ones"
        )
    if spec.pretrained not in tags:
        raise UsageError(
            f"{spec.name} has no weights called '{spec.pretrained}'; known: {', '.join(tags)}"
        )
    return spec.pretrained


def _file(checkpoint: str) -> str:
    """The path of the weights on this machine."""
    path = local_copy(checkpoint)
    if not os.path.exists(path):
        raise UsageError(f"the checkpoint {path} does not exist")
    return path


def _download(spec: ModelSpec) -> None:
    """Let one process of this machine fetch what open_clip's tag names; the others find it."""
    if spec.pretrained not in (None, "none"):
        with one_at_a_time(f"{spec.name} {spec.pretrained}"):
            open_clip.download_pretrained(open_clip.get_pretrained_cfg(spec.name, spec.pretrained))


def _weights_error(spec: ModelSpec, error: Exception) -> UsageError:
    if spec.checkpoint:
        return UsageError(
            f"{without_secrets(spec.checkpoint)} does not fit {spec.name}: {_short(error)}"
        )
    return UsageError(
        f"the weights '{spec.pretrained}' of {spec.name} could not be downloaded "
        f"({_short(error)}); download them elsewhere and pass --checkpoint FILE"
    )


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {' '.join(lines)[:160]}"


def weights_sha256(model: torch.nn.Module) -> str:
    """SHA-256 of the sorted state dict (names, shapes, fp32 values): equal for equal weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def text_embeddings(
    loaded: LoadedModel, texts: Sequence[str], templates: bool = True, batch_size: int = 512
) -> torch.Tensor:
    """Unit text embeddings [K,D] fp32: bare texts, or averaged over open_clip's 80 templates.

    The template average is NAD's and open_clip's zero-shot procedure: each prompt is normalised,
    then the mean is normalised.
    """
    forms = OPENAI_IMAGENET_TEMPLATES if templates else [lambda text: text]
    prompts = [form(text) for text in texts for form in forms]
    device = next(loaded.model.parameters()).device
    rows = []
    with torch.inference_mode():
        for start in range(0, len(prompts), batch_size):
            ids = loaded.tokenizer(prompts[start : start + batch_size]).to(device)
            rows.append(F.normalize(_encode_text(loaded.model, ids).float(), dim=-1).cpu())
    stacked = torch.cat(rows).view(len(texts), len(forms), -1)  # [K,F,D]
    return F.normalize(stacked.mean(dim=1), dim=-1).clone()


def _encode_text(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """`model.encode_text`, without the padding behind the longest text: [B,D], perhaps unit.

    A word takes 3 or 4 of 77 tokens. Attention is causal and the embedding is that of the end
    token, so what follows it counts for nothing.
    """
    mask = getattr(model, "attn_mask", None)
    if type(model) is not open_clip.CLIP or mask is None or model.text_pool_type != "argmax":
        encoded: torch.Tensor = model.encode_text(ids)
        return encoded
    length = int(ids.argmax(dim=1).max()) + 1
    short = {
        "positional_embedding": model.positional_embedding[:length],
        "attn_mask": mask[:length, :length],
    }
    # The model's forward takes images and texts, either of them or both.
    found: Any = torch.func.functional_call(model, short, (None, ids[:, :length]))
    text: torch.Tensor = found["text_features"] if isinstance(found, dict) else found[1]
    return text


def check_words(loaded: LoadedModel, texts: Sequence[str]) -> None:
    """UsageError if a concept has a word that the tiny model has never seen."""
    unknown: Callable[[str], list[str]] = getattr(loaded.tokenizer, "unknown", lambda text: [])
    for text in texts:
        if words := unknown(text):
            raise UsageError(
                f"the tiny model does not know the word '{words[0]}' of concept '{text}'; "
                f"it knows: {', '.join(tiny.tokenizer().words)}"
            )
