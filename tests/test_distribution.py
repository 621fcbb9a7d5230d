"""Which host of how many this is, from TF_CONFIG, and strategies that share a process."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from jpegkeras.distribution import Hosts, find_hosts, make_strategy
from jpegkeras.errors import InputError

TWO = {"worker": ["a:1", "b:1"]}


def set_config(monkeypatch, content):
    text = content if isinstance(content, str) else json.dumps(content)
    monkeypatch.setenv("TF_CONFIG", text)


def test_two_strategies_of_one_process_do_not_mix_up_their_collectives():
    def on_replicas(strategy, compute):
        def replica():
            context = tf.distribute.get_replica_context()
            return compute(context, tf.fill([3], context.replica_id_in_sync_group))

        return tf.function(lambda: strategy.experimental_local_results(strategy.run(replica)))()

    def total(context, numbers):
        return context.all_reduce("SUM", tf.cast(numbers, tf.float32))

    def together(context, numbers):
        return context.all_gather(tf.cast(numbers, tf.int64), axis=0)

    for value in on_replicas(make_strategy("mirrored", 2), total):
        np.testing.assert_array_equal(value, [1, 1, 1])
    for value in on_replicas(make_strategy("mirrored", 2), together):
        np.testing.assert_array_equal(value, [0, 0, 0, 1, 1, 1])


def test_other_strategies_have_one_host_whatever_the_environment_says(monkeypatch):
    set_config(monkeypatch, "nonsense")
    assert find_hosts("mirrored") == Hosts(1, 0)


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "expected"),
    [
        (TWO, "worker", 0, Hosts(2, 0)),
        (TWO, "worker", 1, Hosts(2, 1)),
        ({"chief": ["c:1"], **TWO}, "chief", 0, Hosts(3, 0)),
        ({"chief": ["c:1"], **TWO}, "worker", 1, Hosts(3, 2)),
    ],
)
def test_the_place_among_the_hosts_follows_the_cluster(monkeypatch, cluster, kind, index, expected):
    set_config(monkeypatch, {"cluster": cluster, "task": {"type": kind, "index": index}})
    hosts = find_hosts("multiworker")
    assert hosts == expected
    assert hosts.writes == (expected.index == 0)


@pytest.mark.parametrize(
    "content",
    [
        "nonsense",
        "[]",
        {"cluster": TWO},
        {"cluster": TWO, "task": {"type": "worker", "index": 2}},
        {"cluster": TWO, "task": {"type": "worker", "index": -1}},
        {"cluster": TWO, "task": {"type": "ps", "index": 0}},
        {"cluster": {}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": ["localhost"]}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": [":1"]}, "task": {"type": "worker", "index": 0}},
        {"cluster": {"worker": ["a:b"]}, "task": {"type": "worker", "index": 0}},
    ],
)
def test_what_makes_no_sense_is_an_error_with_an_example(monkeypatch, content):
    set_config(monkeypatch, content)
    with pytest.raises(InputError, match=r"TF_CONFIG cannot be used .* for example .*cluster"):
        find_hosts("multiworker")


def test_no_hosts_at_all_is_an_error(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="needs the environment variable TF_CONFIG"):
        find_hosts("multiworker")
