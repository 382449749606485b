# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Comments of the contract, at run time."""

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor

from expansion.contract._gen import ml_transform_pb2, run_inference_pb2
from expansion.contract.docs import doc_of

CONFIG = run_inference_pb2.RunInferenceConfig.DESCRIPTOR


def messages_in(message: Descriptor) -> Iterator[Descriptor]:
    """Yields a message and those of its fields, at any depth; the contract is not recursive."""
    yield message
    for field in message.fields:
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            yield from messages_in(field.message_type)


def test_a_message_says_what_its_comment_says():
    assert doc_of(run_inference_pb2.ErrorHandling.DESCRIPTOR) == "What becomes of rows that fail."


def test_a_paragraph_is_one_line():
    paragraphs = doc_of(CONFIG).split("\n\n")
    assert len(paragraphs) == 2
    assert paragraphs[0] == "Everything that RunInference needs to know: rows → pre_hooks → model → post_hooks → rows."
    assert "\n" not in paragraphs[1]


def test_fields_and_oneofs_have_their_own():
    assert doc_of(CONFIG.fields_by_name["batching"]) == "How rows are grouped for the model."
    assert doc_of(CONFIG.oneofs_by_name["routing"]).startswith("Which of several models runs on a row.")


def test_what_has_no_comment_says_nothing():
    rate = run_inference_pb2.ErrorHandling.DESCRIPTOR.oneofs_by_name["_max_error_rate"]
    assert doc_of(rate) == ""


def test_everything_that_a_client_can_set_is_described():
    everything = [*messages_in(CONFIG), *messages_in(ml_transform_pb2.MLTransformConfig.DESCRIPTOR)]
    silent = {part.full_name for message in everything for part in (message, *message.fields) if not doc_of(part)}
    assert silent == set()
