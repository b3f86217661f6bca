"""Train the tiny CLIP on generated scenes: masked contrastive loss, one-cycle AdamW.

Captions range from one word to a full sentence, so many are true of several images of a batch;
such pairs are neither positives nor negatives and are left out of the softmax.
"""

import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from safetensors.torch import save as save_tensors

from pipelines.io.files import atomic_write
from pipelines.tiny import captions, drawing, model, scenes
from pipelines.tiny.accuracy import held_out_accuracy
from pipelines.vision import CLIP, OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, open_clip


@dataclass(frozen=True)
class Training:
    """How the weights are made; recorded beside them."""

    seed: int = 0
    scenes: int = 40_000
    steps: int = 2400
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    device: str = "cpu"


def train(plan: Training, log: Callable[[str], None] = print) -> tuple[CLIP, float]:
    """Train on `plan.scenes` scenes; return the model in eval mode and the minutes it took."""
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    log(f"rendering {plan.scenes} scenes")
    truth, pixels = render_all(plan.seed, plan.scenes)
    clip = model.build().to(plan.device, memory_format=torch.channels_last).train()
    optimizer, schedule = _optimizer(clip, plan)
    tokens = model.tokenizer()
    start = time.time()
    order = rng.permutation(plan.scenes)
    for step in range(plan.steps):
        offset = step * plan.batch_size % plan.scenes
        if offset + plan.batch_size > plan.scenes:
            order, offset = rng.permutation(plan.scenes), 0
        chosen = order[offset : offset + plan.batch_size]
        batch = [truth[i] for i in chosen]
        texts, statements = zip(*(captions.sample_text(s, rng) for s in batch), strict=True)
        ignore = torch.from_numpy(captions.truth(batch, list(statements)))
        images = normalise(torch.from_numpy(pixels[chosen]).to(plan.device))
        with torch.autocast(plan.device, torch.bfloat16):
            vision = F.normalize(clip.encode_image(images), dim=-1)
            ids = forget_words(tokens(list(texts)), tokens).to(plan.device)
            text = F.normalize(clip.encode_text(ids), dim=-1)
        loss = masked_contrastive(vision.float(), text.float(), clip.logit_scale.exp(), ignore)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(clip.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            clip.logit_scale.clamp_(0, np.log(100))
        if step % 50 == 49:
            rate = (step + 1) * plan.batch_size / (time.time() - start)
            log(f"step {step + 1}/{plan.steps}  loss {loss.item():.3f}  {rate:.0f} images/s")
    return clip.eval(), (time.time() - start) / 60


def masked_contrastive(
    vision: torch.Tensor, text: torch.Tensor, scale: torch.Tensor, holds: torch.Tensor
) -> torch.Tensor:
    """Symmetric InfoNCE over unit rows [B,D]; other true pairs (`holds` [B,B]) drop out."""
    logits = scale * vision @ text.T  # [B,B]
    off_diagonal = ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(holds.to(logits.device) & off_diagonal, -torch.inf)
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def forget_words(
    ids: torch.Tensor, tokens: model.WordTokenizer, share: float = 0.06
) -> torch.Tensor:
    """Make a share of the words without content unknown, so that the unknown word is trained."""
    content = torch.tensor(
        [tokens.words[w] for ws in captions.SYNONYMS.items() for w in (ws[0], *ws[1])]
    )
    plain = (ids > 2) & (ids < tokens.end) & ~torch.isin(ids, content)
    return torch.where(plain & (torch.rand(ids.shape) < share), 2, ids)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 [B,S,S,3] → float [B,3,S,S] in CLIP's normalisation, channels last in memory."""
    mean = torch.tensor(OPENAI_DATASET_MEAN, device=pixels.device) * 255
    std = torch.tensor(OPENAI_DATASET_STD, device=pixels.device) * 255
    return ((pixels.float() - mean) / std).permute(0, 3, 1, 2)


def render_all(seed: int, count: int) -> tuple[list[scenes.Scene], np.ndarray]:
    """The first `count` scenes of `seed` and their pixels [N,S,S,3] uint8, through JPEG."""
    truth = [scenes.sample_scene(seed, index) for index in range(count)]
    if count < 1000:  # starting processes would cost more than it saves
        return truth, np.stack([_pixels(scene) for scene in truth])
    with multiprocessing.get_context("spawn").Pool() as pool:
        pixels = np.stack(list(pool.imap(_pixels, truth, chunksize=200)))
    return truth, pixels


def _pixels(scene: scenes.Scene) -> np.ndarray:
    image, _ = drawing.render(scene)
    decoded: np.ndarray = simplejpeg.decode_jpeg(drawing.jpeg_bytes(image))
    return decoded


def _optimizer(clip: CLIP, plan: Training):  # type: ignore[no-untyped-def]
    decayed = [p for p in clip.parameters() if p.ndim >= 2]
    rest = [p for p in clip.parameters() if p.ndim < 2]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": plan.weight_decay},
        {"params": rest},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=plan.learning_rate, weight_decay=0.0, betas=(0.9, 0.98)
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, plan.learning_rate, total_steps=plan.steps + 1, pct_start=0.15
    )
    return optimizer, schedule


def save(clip: CLIP, path: Path) -> None:
    """Write the weights as fp16 safetensors, atomically."""
    state = {
        name: tensor.detach().cpu().half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in clip.state_dict().items()
    }
    atomic_write(str(path.absolute()), save_tensors(state))


def versions() -> dict[str, str]:
    """The library versions that the training depends on."""
    return {"torch": torch.__version__, "open_clip": open_clip.__version__, "numpy": np.__version__}


def train_to(plan: Training, out: str) -> dict[str, object]:
    """Train, measure zero-shot accuracy on held-out scenes, save the weights and their record."""
    device = plan.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    plan = replace(plan, device=device)
    clip, minutes = train(plan)
    save(clip, Path(out))
    accuracy = held_out_accuracy(model.load(out))
    record: dict[str, object] = {
        **asdict(plan),
        "minutes": round(minutes, 1),
        **versions(),
        "zero_shot": accuracy,
    }
    atomic_write(
        str(Path(out).with_suffix(".json")), (json.dumps(record, indent=2) + "\n").encode()
    )
    return record
