"""What Ray says of nodes that end is kept out of the output of a command."""

import threading
from types import ModuleType
from typing import Any

import pytest


def test_rays_notices_of_nodes_are_not_printed(
    ray: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from ray._private import utils, worker

    arrived, prints = threading.Event(), worker.print_to_stdstream

    def told(*arguments: Any, **more: Any) -> None:
        prints(*arguments, **more)
        arrived.set()

    monkeypatch.setattr(worker, "print_to_stdstream", told)
    utils.publish_error_to_driver(
        "raylet_died", "Raylet is terminated.", gcs_client=worker.global_worker.gcs_client
    )
    assert arrived.wait(30)
    assert "Raylet" not in "".join(capfd.readouterr())
