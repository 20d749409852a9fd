"""The codec: whatever is written is read back, and bytes that are something else are refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.errors import DecodeError, Poison
from tests.schemas import strategies

JSON_RECORDS = [
    pytest.param(codec.encode_document_event, codec.decode_document_event, strategies.events(), id="document event"),
    pytest.param(codec.encode_chunk_set, codec.decode_chunk_set, strategies.chunk_sets, id="chunk set"),
    pytest.param(codec.encode_indexed, codec.decode_indexed, strategies.indexed, id="indexed"),
    pytest.param(codec.encode_manifest, codec.decode_manifest, strategies.manifests, id="manifest"),
    pytest.param(codec.encode_collection, codec.decode_collection, strategies.collections, id="collection"),
    pytest.param(codec.encode_dead_letter, codec.decode_dead_letter, strategies.dead_letters, id="dead letter"),
]
DECODERS = [record.values[1] for record in JSON_RECORDS] + [codec.decode_embedded_chunk_set]


@pytest.mark.parametrize(("encode", "decode", "values"), JSON_RECORDS)
@given(data=st.data())
def test_a_record_survives_encoding(encode, decode, values, data):
    """Decoding returns exactly what was encoded."""
    value = data.draw(values)

    assert decode(encode(value)) == value


@given(embedded=strategies.embedded_chunk_sets())
def test_vectors_survive_encoding_without_being_copied(embedded):
    """The decoded array is a view of the record's bytes, bit for bit what was written."""
    decoded = codec.decode_embedded_chunk_set(codec.encode_embedded_chunk_set(embedded))

    assert decoded.chunk_set == embedded.chunk_set
    assert decoded.model_fingerprint == embedded.model_fingerprint
    np.testing.assert_array_equal(decoded.vectors, embedded.vectors)
    assert not decoded.vectors.flags.owndata


@pytest.mark.parametrize("decode", DECODERS)
@given(noise=st.binary(max_size=200))
def test_noise_is_refused_as_poison(decode, noise):
    """Bytes that are no record raise Poison, never anything else."""
    with pytest.raises(Poison):
        decode(noise)


@pytest.mark.parametrize("decode", DECODERS)
@given(data=st.data())
def test_a_record_cut_short_is_refused(decode, data):
    """A record that lost its end is never read as a shorter one."""
    record = codec.encode_embedded_chunk_set(data.draw(strategies.embedded_chunk_sets()))
    if decode is codec.decode_embedded_chunk_set:
        cut = record[: data.draw(st.integers(0, len(record) - 1))]
        if cut == record:
            return
        with pytest.raises(DecodeError):
            decode(cut)


@pytest.mark.parametrize("decode", [codec.decode_chunk_set, codec.decode_indexed, codec.decode_manifest])
def test_an_unknown_schema_version_is_named(decode):
    """A record of a newer schema says so, instead of being misread."""
    with pytest.raises(DecodeError) as refused:
        decode(b'{"schema":2}')

    assert refused.value.reason == "unknown_schema"


def test_fields_of_a_newer_writer_are_left_alone():
    """A reader ignores what it does not know."""
    known = codec.encode_indexed(
        codec.decode_indexed(b'{"schema":1,"document":{"tenant":"t","id":"d"},"version":3,"outcome":"searchable"}')
    )
    newer = known[:-1] + b',"invented_later":[1,2]}'

    assert codec.decode_indexed(newer) == codec.decode_indexed(known)
