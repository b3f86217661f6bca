"""Logits of windows for every class, in all the ways that were asked for, from one feature map."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from nhd_ops import segment, token_maps
from nhd_ops.attention_pool import AttentionPool, directions_of
from pipelines.errors import UsageError
from pipelines.segment.options import CHOOSES, Setting


class Scorer:
    """What of the model, the class texts and the settings does not change from window to window.

    Args:
        pool: the model's attention pool, on the device that all is computed on.
        texts: [P,D], unit embeddings of the classes, not centred.

    Raises UsageError for a setting of more pairs than the model has.
    """

    def __init__(self, pool: AttentionPool, texts: Tensor, settings: Sequence[Setting]) -> None:
        directions = directions_of(pool)
        self.pool, self.settings, self.pairs = pool, tuple(settings), directions.pairs
        self.texts = segment.class_texts(texts)  # [P,D]
        bias = pool.c_proj.bias.detach()
        self.head_texts = token_maps.head_texts(directions, bias, self.texts)
        sizes = {self.top_pairs(setting) for setting in self.settings} - {0}
        self.chosen = {k: segment.top_pairs(directions, self.texts, k) for k in sizes}

    def top_pairs(self, setting: Setting) -> int:
        """How many pairs per class a setting takes; 0 if its method chooses none."""
        if setting.method not in CHOOSES:
            return 0
        if setting.top_pairs > self.pairs:
            raise UsageError(
                f"{setting.top_pairs} pairs per class are asked for, but the model has {self.pairs}"
            )
        return setting.top_pairs or segment.usual_k(self.pairs)

    def __call__(self, features: Tensor) -> Tensor:
        """Feature maps Z [B,C,rows,columns] of windows → logits [S,B,P,rows,columns]."""
        window = token_maps.window_of(self.pool, features)

        @cache
        def neurons(repair: bool, unit: bool) -> Tensor:
            return segment.neuron_maps(features, repair, unit)

        @cache
        def heads(repair: bool) -> Tensor:
            return token_maps.head_maps(window, self.head_texts, repair)

        def logits(setting: Setting) -> Tensor:  # [B,P,N]
            repair, unit, k = setting.sink_repair, setting.unit_tokens, self.top_pairs(setting)
            match setting.method:
                case "product":
                    return segment.product(neurons(repair, unit), heads(repair), self.chosen[k])
                case "neurons":
                    return segment.neurons_only(neurons(repair, unit), self.chosen[k])
                case "heads":
                    return segment.heads_only(heads(repair), self.chosen[k])
                case "maskclip":
                    return token_maps.maskclip(self.pool, window, self.texts, repair)
                case "self_self":
                    return token_maps.self_self(self.pool, window, self.texts, repair)

        found = torch.stack([logits(setting) for setting in self.settings])
        return found.view(*found.shape[:3], *features.shape[2:])
