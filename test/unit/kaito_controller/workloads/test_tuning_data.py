"""How training data reaches the trainer: what the downloader is told, and what its files are called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaito_controller.workloads import (
    HelperImages,
)
from kaito_controller.workloads.tuning_data import GUARDED, Download, download_argv, file_names
from test.unit.kaito_controller.workloads.cases import (
    DATA_URL,
    container,
    job,
    pod_spec,
)


def test_a_users_volume_is_mounted_read_only_where_the_trainer_looks() -> None:
    built = job({"volumeSource": {"persistentVolumeClaim": {"claimName": "data"}}})
    (mount,) = [item for item in container(built, "tune")["volumeMounts"] if item["name"] == "data-volume"]
    assert mount == {"name": "data-volume", "mountPath": "/mnt/data", "readOnly": True}
    (volume,) = [item for item in pod_spec(built)["volumes"] if item["name"] == "data-volume"]
    assert volume["persistentVolumeClaim"]["claimName"] == "data"


HOSTILE_URLS = ["https://a.example/x.json", "-o/etc/passwd", "http://b.example/$(HOME)/x.json#part"]
HOSTILE_FILES = [
    *("--output", "/mnt/data/x.json", "--url", "https://a.example/x.json"),
    *("--output", "/mnt/data/data", "--url", "-o/etc/passwd"),
    *("--output", "/mnt/data/2-x.json", "--url", "http://b.example/$$(HOME)/x.json#part"),
]


def test_urls_reach_curl_as_values_with_names_of_our_own() -> None:
    argv = download_argv(HOSTILE_URLS, Download("curl", with_curl=True, allowed=(), cluster_domain="k8s.local"))
    assert argv[:2] == ["curl", "--disable"]
    assert argv[argv.index("--proto") + 1] == argv[argv.index("--proto-redir") + 1] == "=http,https"
    assert {"--globoff", "--fail", "--fail-early", "--location"} <= set(argv)
    assert argv[-12:] == HOSTILE_FILES


def test_urls_reach_the_guarded_downloader_the_same_way_after_what_the_administrator_allows() -> None:
    argv = download_argv(
        HOSTILE_URLS,
        Download("model", with_curl=False, allowed=("data.example.com", "10.1.0.0/16"), cluster_domain="k8s.local"),
    )
    told = ["--allow", "data.example.com", "--allow", "10.1.0.0/16", "--cluster-domain", "k8s.local"]
    assert argv == [*GUARDED, *told, *HOSTILE_FILES]


def test_data_is_downloaded_by_the_model_image_unless_one_with_curl_is_set() -> None:
    plain, other = job(), job(images=HelperImages(curl="mirror/curl:1"))
    assert container(plain, "data-downloader")["image"] == container(plain, "tune")["image"]
    assert container(other, "data-downloader")["image"] == "mirror/curl:1"
    assert container(other, "data-downloader")["command"][0] == "curl"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (DATA_URL, "train-00000-of-00001.parquet"),
        ("https://x.example/get?file=rows.csv&raw=1", "get_file_rows.csv_raw_1"),
        ("https://x.example/", "data"),
        ("https://x.example", "data"),
        ("https://x.example/a/../../etc/passwd", "passwd"),
        ("https://x.example/..%2f..%2fetc", "etc"),
        ("https://x.example/-rf", "rf"),
        ("https://x.example/.hidden.json", "hidden.json"),
        ("https://x.example/" + "a" * 300 + ".json", "a" * 195 + ".json"),
        ("https://[::1", "data"),
    ],
)
def test_file_names_keep_what_tells_the_trainer_the_format(url: str, name: str) -> None:
    assert file_names([url]) == [name]


@given(st.lists(st.one_of(st.text(max_size=30), st.sampled_from(["https://x/a.csv", "https://x/2-a.csv"])), max_size=8))
def test_file_names_are_all_different(urls: list[str]) -> None:
    assert len(set(file_names(urls))) == len(urls)
