"""What may travel to other nodes: options of stores, and never a secret."""

import pytest

from pipelines.errors import ShardError, UsageError
from pipelines.io.cache import local_copy
from pipelines.io.listing import expand
from pipelines.io.options import passed_on, withheld
from pipelines.io.redaction import refuse_credentials
from pipelines.io.shards import samples
from pipelines.io.store import Run

OPTIONS = {
    "FSSPEC_S3": '{"requester_pays": true, "config_kwargs": {"retries": {"mode": "standard"}}}',
    "FSSPEC_S3_REQUESTER_PAYS": "true",
    "FSSPEC_GS_TOKEN": "anon",
    "AWS_ENDPOINT_URL_S3": "http://minio:9000",
    "AWS_REGION": "eu-central-1",
    "NHD_READS_PER_NODE": "4",
}
SECRETS = {
    "FSSPEC_S3_KEY": "AKIA",
    "FSSPEC_S3_SECRET": "x",
    "FSSPEC_GS": '{"token": "ya29.x"}',
    "FSSPEC_ABFS": '{"account_key": "x"}',
    "FSSPEC_S3_CLIENT_KWARGS": '{"aws_session_token": "x"}',
    "FSSPEC_HTTP": '{"client_kwargs": {"headers": {"Authorization": "Bearer x"}}}',
    "FSSPEC_HTTPS": '{"headers": [{"X-Api-Key": "x"}]}',
    "AWS_ENDPOINT_URL": "http://user:word@minio:9000",
    "NHD_TOKEN": "x",
    "NHD_WEBHOOK_URL": "https://hooks.example.com/services/T0/B0/x",
}
OTHERS = {
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_ACCESS_KEY_ID": "x",
    "HF_TOKEN": "x",
    "PATH": "/bin",
    "NHD_CACHE": "/big/disk",
}


def test_options_travel_and_secrets_stay():
    told = OPTIONS | SECRETS | OTHERS
    assert passed_on(told) == OPTIONS
    assert set(withheld(told)) == set(SECRETS)


@pytest.mark.parametrize("name", SECRETS)
def test_one_secret_withholds_nothing_else(name: str):
    assert passed_on(OPTIONS | {name: SECRETS[name]}) == OPTIONS


@pytest.mark.parametrize("scheme", ["s3", "s3a", "gs", "az", "simplecache::s3"])
def test_credentials_in_a_url_are_refused_and_not_repeated(scheme: str):
    url = f"{scheme}://AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG@bucket/a.tar"
    for use in (expand, Run, local_copy, lambda name: list(samples(name))):
        with pytest.raises((UsageError, ShardError), match="holds credentials") as said:
            use(url)
        assert "wJalr" not in str(said.value) and "AKIA" not in str(said.value)


@pytest.mark.parametrize("url", ["abfss://data@account.dfs.core.windows.net/a", "s3://b/a@b.tar"])
def test_what_only_looks_like_them_is_taken(url: str):
    assert Run(url).url == refuse_credentials(url) == url
