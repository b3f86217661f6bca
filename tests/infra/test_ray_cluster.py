"""The file for Ray's own launcher: Ray's schema and defaults, and its set-up on moto's AWS."""

import copy
import re
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.util import prepare_config, validate_config

FILE = Path(__file__).parents[2] / "infra" / "ray-cluster.yaml"


def config() -> dict[str, Any]:
    prepared: dict[str, Any] = prepare_config(yaml.safe_load(FILE.read_text()))
    return prepared


def test_ray_takes_it() -> None:
    validate_config(config())


@pytest.mark.parametrize("path", [("docker", "images"), ("available_node_types", "gpu", "spot")])
def test_a_wrong_name_does_not_pass(path: tuple[str, ...]) -> None:
    changed = copy.deepcopy(config())
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = "anything"
    with pytest.raises(Exception, match=path[-1]):
        validate_config(changed)


def test_the_driver_has_a_node_of_its_own_and_gpus_come_and_go() -> None:
    found = config()
    head, gpu = (found["available_node_types"][name] for name in ("head", "gpu"))
    assert found["head_node_type"] == "head" and head["resources"]["CPU"] == 0
    assert gpu["min_workers"] == 0 and gpu["max_workers"] == found["max_workers"]
    assert gpu["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "InstanceMarketOptions" not in head["node_config"]


def test_a_token_is_asked_for_and_comes_from_a_file() -> None:
    found = config()
    assert "--env RAY_AUTH_MODE=token" in found["docker"]["run_options"]
    assert found["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    assert not [o for o in found["docker"]["run_options"] if "TOKEN=" in o or "KEY=" in o]
    assert "--dashboard-host=127.0.0.1" in " ".join(found["head_start_ray_commands"])
    for name in ("setup_commands", "head_setup_commands", "worker_setup_commands"):
        assert found[name] == []  # Ray's defaults would install another Ray


@pytest.mark.slow
def test_the_launcher_opens_nothing_to_the_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray's launcher makes a key pair, and no security group: its own lets everybody in by ssh."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    (tmp_path / ".ssh").mkdir()
    given = config()
    with mock_aws():
        ec2 = boto3.client("ec2", given["provider"]["region"])
        network = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        own = ec2.create_security_group(GroupName="own", Description="own", VpcId=network)[
            "GroupId"
        ]
        for kind in given["available_node_types"].values():
            assert re.fullmatch(r"sg-0{17}", kind["node_config"]["SecurityGroupIds"][0])
            kind["node_config"]["SecurityGroupIds"] = [own]
        ready = bootstrap_aws(given)
        groups = ec2.describe_security_groups()["SecurityGroups"]
    assert {group["GroupName"] for group in groups} == {"default", "own"}
    for kind in ready["available_node_types"].values():
        node = kind["node_config"]
        assert node["SecurityGroupIds"] == [own] and node["SubnetIds"]
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert all(disk["Ebs"]["Encrypted"] for disk in node["BlockDeviceMappings"])
