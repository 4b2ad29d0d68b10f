"""Objects and injections of files, each with its place."""

from __future__ import annotations

import pytest

from sidecar_injector import names
from sidecar_injector.cli.input import manifests
from tests.kits.cli import write
from tests.kits.samples import pod, resource


@pytest.fixture
def file(tmp_path):
    return lambda *documents, name="file.yaml": write(tmp_path, name, list(documents))


def test_each_object_knows_its_file_and_number(file):
    path = file(pod(), pod())
    assert [document.place for document in manifests.read(path)] == [
        f"{path}, document 1", f"{path}, document 2",
    ]  # fmt: skip


def test_an_empty_document_counts_and_is_left_out(tmp_path):
    path = write(tmp_path, "file.yaml", "---\n# nothing\n---\napiVersion: v1\nkind: A\n")
    assert [document.place for document in manifests.read(path)] == [f"{path}, document 2"]


def test_the_objects_of_nested_lists_know_their_places():
    inner = {"apiVersion": "v1", "kind": "List", "items": [pod()]}
    outer = manifests.Document(
        "here", {"apiVersion": "v1", "kind": "List", "items": [inner, pod()]}
    )
    assert [document.place for document in manifests.flattened(outer)] == [
        "here, items[0], items[0]", "here, items[1]",
    ]  # fmt: skip


def test_an_item_of_a_kinds_own_list_is_of_that_kind_unless_it_says_so():
    items = [{"spec": {}}, {"apiVersion": "v1", "kind": "Service"}]
    document = manifests.Document(
        "here", {"apiVersion": "apps/v1", "kind": "JobList", "items": items}
    )
    first, second = (item.manifest for item in manifests.items(document))
    assert (first["apiVersion"], first["kind"]) == ("apps/v1", "Job")
    assert (second["apiVersion"], second["kind"]) == ("v1", "Service")


def test_the_items_of_a_plain_list_must_say_what_they_are():
    document = manifests.Document("here", {"apiVersion": "v1", "kind": "List", "items": [{"a": 1}]})
    with pytest.raises(manifests.UnreadableInput, match=r"here, items\[0\]: field"):
        manifests.items(document)


def test_injections_of_both_kinds_are_found_among_other_objects_and_in_lists(file):
    listed = {"apiVersion": "v1", "kind": "List", "items": [resource("b"), pod()]}
    path = file(pod(), resource("a"), listed, resource("c", cluster=True))
    injections = manifests.read_injections([path], namespace="demo")
    assert [injection.reference for injection in injections] == ["a", "b", "cluster/c"]


def test_an_injection_without_namespace_is_of_the_given_one_and_the_cluster_kind_of_none(file):
    bare = resource("a")
    del bare["metadata"]["namespace"]
    emptied = resource("b")
    emptied["metadata"]["namespace"] = None
    path = file(bare, emptied, resource("c", cluster=True), resource("d"))
    injections = manifests.read_injections([path], namespace="given")
    assert [injection.namespace for injection in injections] == ["given", "given", None, "demo"]


def test_a_file_knows_nothing_about_generations(file):
    (injection,) = manifests.read_injections([file(resource())], namespace="demo")
    assert injection.generation is None


def test_defaults_are_applied_as_the_api_server_would(file):
    (injection,) = manifests.read_injections([file(resource())], namespace="demo")
    assert injection.spec["activation"] == "Automatic"
    assert injection.errors == ()


def test_a_spec_of_any_shape_is_an_invalid_injection_not_a_crash(file):
    for spec in ([1], "x", 3, {}, None):
        path = file({**resource(), "spec": spec})
        (injection,) = manifests.read_injections([path], namespace="demo")
        assert injection.errors


def test_an_injection_that_is_given_in_two_files_names_both(file):
    first, second = file(resource(), name="one.yaml"), file(resource(), name="two.yaml")
    with pytest.raises(manifests.UnreadableInput, match=r"two\.yaml.*given twice.*one\.yaml"):
        manifests.read_injections([first, second], namespace="demo")


def test_each_file_must_hold_an_injection(file):
    first, second = file(resource(), name="one.yaml"), file(pod(), name="two.yaml")
    with pytest.raises(manifests.UnreadableInput, match=f"two.yaml: contains no {names.KIND}"):
        manifests.read_injections([first, second], namespace="demo")
