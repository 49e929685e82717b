"""Number formats as objects."""
import pickle

import numpy as np
import pytest

import lowp


def test_a_name_and_its_text_are_one_format():
    assert lowp.Format("mxfp4") == lowp.Format("e2m1:32:e8m0") == lowp.Format("MXFP4")
    assert hash(lowp.Format("mxfp4")) == hash(lowp.Format("e2m1:32:e8m0"))
    assert lowp.Format("mxfp4") != lowp.Format("e2m1") and lowp.Format("e2m1") != "e2m1"
    assert lowp.Format("mxfp4").text == "e2m1:32:e8m0"


@pytest.mark.parametrize("row", lowp.formats(), ids=lambda row: row.name)
def test_every_named_format_reads_back_from_its_repr_its_text_and_a_pickle(row):
    f = lowp.Format(row.name)
    assert eval(repr(f), {"Format": lowp.Format}) == f
    assert lowp.Format(f.text) == f
    assert pickle.loads(pickle.dumps(f)) == f
    assert f.bits > 0 and row.note


def test_values_are_indexed_by_code():
    assert lowp.Format("e2m1").values.tolist() == [0, .5, 1, 1.5, 2, 3, 4, 6, -0.0, -.5, -1, -1.5, -2, -3, -4, -6]
    assert np.signbit(lowp.Format("e2m1").values[8])
    e4m3 = lowp.Format("e4m3").values
    assert e4m3.dtype == np.float64 and e4m3.shape == (256,)
    assert e4m3[0x7e] == 448 and np.isnan(e4m3[0x7f]) and e4m3[1] == 2.0**-9
    assert np.isnan(lowp.Format("t").values).sum() >= 0 and sorted(x for x in lowp.Format("t").values if x == x) == [-1, 0, 1]


@pytest.mark.parametrize("name, ml", [("e4m3", "float8_e4m3fn"), ("e5m2", "float8_e5m2"), ("e4m3fnuz", "float8_e4m3fnuz"),
                                      ("e5m2fnuz", "float8_e5m2fnuz"), ("e8m0", "float8_e8m0fnu"), ("e3m4ieee", "float8_e3m4"),
                                      ("e4m3ieee", "float8_e4m3"), ("bf16", "bfloat16")])
def test_values_are_those_of_ml_dtypes(name, ml):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, ml))
    codes = np.arange(1 << 8 * dtype.itemsize).astype(f"u{dtype.itemsize}")
    np.testing.assert_array_equal(lowp.Format(name).values, codes.view(dtype).astype(np.float64))


def test_a_format_tells_its_parts():
    f = lowp.Format("q4_k")
    assert (f.bits, f.block, str(f.scale), f.packing) == (4.5, (1, 32), "u6:8:f16", "q4_k")
    assert f.element == {"kind": "int", "bits": 4, "signed": False, "n_levels": 16}
    assert lowp.Format("e5m2").element == {"kind": "float", "bits": 8, "signed": True, "exponent": 5, "mantissa": 2, "bias": 15, "specials": "ieee"}
    assert lowp.Format("e5m2").block is None and lowp.Format("e5m2").scale is None and lowp.Format("e5m2").packing is None
    assert lowp.Format("e5m2").max == 57344 and lowp.Format("e5m2").min == -57344 and lowp.Format("e5m2").min_positive == 2.0**-16


@pytest.mark.parametrize("text, hint", [("e4m4x", "e4m4x"), ("q4_kk", "q4_k"), ("", ""), ("e2m1:0:e8m0:", ""), ("x" * 300, "")])
def test_a_text_that_is_no_format_is_refused_with_a_reason(text, hint):
    with pytest.raises(lowp.UsageError) as e:
        lowp.Format(text)
    assert hint in str(e.value) and isinstance(e.value, ValueError) and isinstance(e.value, lowp.Error) and e.value.status == 2


def test_a_format_is_made_from_one_text():
    for wrong in ((), (1,), ("e4m3", "e5m2"), ("e4\0m3",)):
        with pytest.raises((TypeError, ValueError)):
            lowp.Format(*wrong)


def test_packings_name_their_blocks():
    table = {p.name: p for p in lowp.packings()}
    assert table["q4_k"] == ("q4_k", 256, 144, True) and table["f32"].bytes == 4
    assert len(table) > 25
