"""Segmentation: grouped form = gather form, literal baselines, and what must not matter."""

from __future__ import annotations

import pytest
import torch

from nhd_ops import segment, token_maps
from nhd_ops.attention_pool import directions_of
from nhd_ops.sink import repair
from tests import segment_reference as literal
from tests.ops import random_world

POOL = random_world.pool()
FEATURES = random_world.features(3)
DIRECTIONS = directions_of(POOL)
TEXTS = segment.class_texts(random_world.unit(5, 10))
PAIRS = DIRECTIONS.pairs


def scores(features=FEATURES, texts=TEXTS, k=20, sink_repair=True, unit=False):
    """All five methods, fast: name → [B,P,N]."""
    window = token_maps.window_of(POOL, features)
    chosen = segment.top_pairs(DIRECTIONS, texts, k)
    seen = token_maps.head_texts(DIRECTIONS, POOL.c_proj.bias, texts)
    heads = token_maps.head_maps(window, seen, sink_repair)
    neurons = segment.neuron_maps(features, sink_repair, unit)
    return {
        "product": segment.product(neurons, heads, chosen),
        "neurons": segment.neurons_only(neurons, chosen),
        "heads": segment.heads_only(heads, chosen),
        "maskclip": token_maps.maskclip(POOL, window, texts, sink_repair),
        "self_self": token_maps.self_self(POOL, window, texts, sink_repair),
    }


@pytest.mark.parametrize("k", [1, 20, PAIRS])
@pytest.mark.parametrize("sink_repair", [True, False])
@torch.no_grad()
def test_grouped_is_gathered_and_every_baseline_is_literal(k, sink_repair):
    found = scores(k=k, sink_repair=sink_repair)
    for method in ("product", "neurons", "heads"):
        wanted = literal.by_pairs(POOL, FEATURES, TEXTS, k, sink_repair, method)
        torch.testing.assert_close(found[method], wanted)
    for method in ("maskclip", "self_self"):
        wanted = getattr(literal, method)(POOL, FEATURES, TEXTS, sink_repair)
        torch.testing.assert_close(found[method], wanted)


@torch.no_grad()
def test_the_methods_and_the_repair_differ():
    with_repair, without = scores(), scores(sink_repair=False)
    for name, logits in with_repair.items():
        assert not torch.allclose(logits[..., -1], without[name][..., -1])
        torch.testing.assert_close(logits[..., :-1], without[name][..., :-1])
    decided = {tuple(logits.argmax(1).flatten().tolist()) for logits in with_repair.values()}
    assert len(decided) == len(with_repair)


def test_the_sink_alone_is_repaired():
    grid = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))
    for found, before in zip(repair(grid), grid, strict=True):
        torch.testing.assert_close(found, literal.repaired(before))
    assert torch.equal(repair(grid[:, :1]), grid[:, :1]), "one row has no north"


@torch.no_grad()
def test_the_order_of_the_classes_does_not_matter():
    order = torch.tensor([3, 0, 4, 1, 2])
    there, here = scores(texts=TEXTS[order]), scores()
    for name, logits in here.items():
        torch.testing.assert_close(there[name], logits[:, order])


@torch.no_grad()
def test_windows_do_not_see_each_other():
    together = scores()
    for image in range(len(FEATURES)):
        alone = scores(FEATURES[image : image + 1])
        for name, logits in alone.items():
            torch.testing.assert_close(logits[0], together[name][image])


@torch.no_grad()
def test_of_all_pairs_the_product_is_the_neurons_sum_times_the_heads_mean():
    window = token_maps.window_of(POOL, FEATURES)
    seen = token_maps.head_texts(DIRECTIONS, POOL.c_proj.bias, TEXTS)
    heads = token_maps.head_maps(window, seen, False).mean(0).mT  # [B,P,N]
    mean = FEATURES.flatten(2).mean(1, keepdim=True)  # [B,1,N]
    torch.testing.assert_close(scores(k=PAIRS, sink_repair=False)["product"], heads * mean)


@torch.no_grad()
def test_unit_tokens_change_no_decision_of_a_token():
    plain, unit = scores(), scores(unit=True)
    for method in ("product", "neurons"):
        assert torch.equal(plain[method].argmax(1), unit[method].argmax(1))
        ratio = plain[method] / unit[method]
        torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))


def test_class_texts_have_no_mean_direction():
    texts = random_world.unit(6, 8)
    centred = segment.class_texts(texts)
    torch.testing.assert_close(centred.norm(dim=1), torch.ones(6).double())
    moved = segment.class_texts(texts + torch.ones(8).double())
    torch.testing.assert_close(centred, moved)


def test_the_lowest_pair_wins_a_tie():
    pool = random_world.pool()
    pool.v_proj.weight.data[:, 7] = pool.v_proj.weight.data[:, 2]  # same direction in each head
    chosen = segment.top_pairs(directions_of(pool), TEXTS, PAIRS // 3)
    assert (chosen[:, :, 2].int() >= chosen[:, :, 7].int()).all()
    alone = [segment.top_pairs(directions_of(pool), TEXTS, k) for k in range(1, PAIRS)]
    assert any((one[:, :, 2] & ~one[:, :, 7]).any() for one in alone)


@pytest.mark.parametrize("k", [0, -3, PAIRS + 1])
def test_a_wrong_k_is_refused(k):
    with pytest.raises(ValueError, match=f"k is {k}, but must lie between 1 and the {PAIRS}"):
        segment.top_pairs(DIRECTIONS, TEXTS, k)


def test_the_papers_share():
    assert segment.usual_k(147_456) == 20_000
    assert segment.usual_k(4_096) == 556 and segment.usual_k(1) == 1
