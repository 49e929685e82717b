"""Rounding to element formats."""
import numpy as np
import pytest

import lowp

ALL_HALVES = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


@pytest.mark.parametrize("name, ml", [("e4m3", "float8_e4m3fn"), ("e5m2", "float8_e5m2"), ("e4m3fnuz", "float8_e4m3fnuz"),
                                      ("e5m2fnuz", "float8_e5m2fnuz"), ("e3m4ieee", "float8_e3m4"), ("e4m3ieee", "float8_e4m3"),
                                      ("bf16", "bfloat16"), ("e2m3", "float6_e2m3fn"), ("e3m2", "float6_e3m2fn"), ("e2m1", "float4_e2m1fn")])
def test_all_halves_round_as_ml_dtypes_rounds_them(name, ml):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = ALL_HALVES.astype(np.float32)
    x = x[np.isfinite(x)]
    wanted = x.astype(getattr(ml_dtypes, ml)).astype(np.float32)
    inside = np.isfinite(wanted) & (np.abs(x) <= lowp.Format(name).max)  # beyond the range each has its own rules
    got = lowp.round(x, name)
    np.testing.assert_array_equal(got[inside], wanted[inside])
    assert inside.sum() > 10000
    np.testing.assert_array_equal(lowp.round(x.astype(np.float64), name), got.astype(np.float64))


def test_codes_are_those_of_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.linspace(-440, 440, 5001, dtype=np.float32).reshape(3, -1)
    codes = lowp.codes(x, "e4m3")
    assert codes.shape == x.shape and codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, x.astype(ml_dtypes.float8_e4m3fn).view(np.uint8))
    codes = lowp.codes(x, "bf16")
    assert codes.dtype == np.uint16
    np.testing.assert_array_equal(codes, x.astype(ml_dtypes.bfloat16).view(np.uint16))
    np.testing.assert_array_equal(lowp.codes_values(codes, "bf16"), lowp.round(x, "bf16"))


@pytest.mark.parametrize("name", ["u1", "i3", "b3", "e2m1", "e3m2", "e2m3", "q1.6", "p8.0", "p16.1", "s3", "s3z", "t", "nf4", "i12"])
def test_packed_codes_come_back_as_the_rounded_values(name):
    x = np.random.default_rng(2).standard_normal(1001).astype(np.float32) * 3
    f = lowp.Format(name)
    codes = lowp.codes(x, f)
    assert codes.nbytes == (1001 * f.element["bits"] + 7) // 8 or f.element["bits"] in (8, 16)
    values = lowp.codes_values(codes, f, 1001)
    np.testing.assert_array_equal(values, lowp.round(x.astype(np.float64), f))
    np.testing.assert_array_equal(lowp.round(values, f), values)  # idempotent
    assert set(values) <= set(f.values)


def test_each_mode_takes_its_neighbour():
    x = np.float32([1.25, -1.25, 1.7, -1.7])  # of the integers
    wanted = {"nearest-even": [1, -1, 2, -2], "toward-zero": [1, -1, 1, -1], "up": [2, -1, 2, -1], "down": [1, -2, 1, -2], "odd": [1, -1, 1, -1]}
    for mode, values in wanted.items():
        assert lowp.round(x, "i8", rounding=mode).tolist() == values, mode
    half = np.float32([0.5, 1.5, -0.5, -1.5])
    wanted = {"nearest-even": [0, 2, 0, -2], "nearest-away": [1, 2, -1, -2], "nearest-zero": [0, 1, 0, -1], "half-up": [1, 2, 0, -1],
              "half-down": [0, 1, -1, -2]}
    for mode, values in wanted.items():
        assert lowp.round(half, "i8", rounding=mode).tolist() == values, mode


def test_overflow_and_subnormals_follow_the_rule():
    x = np.float32([1000, -1000])
    assert lowp.round(x, "i8").tolist() == [127, -128]
    assert lowp.round(x, "i8", overflow="symmetric").tolist() == [127, -127]
    assert lowp.round(x, "i8", overflow="zero").tolist() == [0, 0]
    assert lowp.round(x, "i8", overflow="wrap").tolist() == [-24, 24]
    assert lowp.round(x, "e5m2", overflow="infinity").tolist() == [1024, -1024]
    assert np.isnan(lowp.round(x, "e4m3", overflow="nan")).all()
    tiny = np.float32([2.0**-9])
    assert lowp.round(tiny, "e4m3")[0] == 2.0**-9 and lowp.round(tiny, "e4m3", subnormals="flush")[0] == 0


def test_float64_is_rounded_once():
    x = np.float64(1 + 2.0**-8 + 2.0**-40)  # a tie of bf16 after a first rounding to float32
    assert lowp.round(np.array([x]), "bf16")[0] == 1 + 2.0**-7
    assert lowp.round(np.float32([x]), "bf16")[0] == 1
    assert lowp.round(np.array([x]), "bf16").dtype == np.float64


def test_stochastic_rounding_is_unbiased_and_depends_on_seed_and_index_alone():
    x = np.full(400000, 1.03, np.float32)
    y = lowp.round(x, "e4m3", rounding="stochastic", seed=1)
    p = (1.03 - 1) / 0.125
    assert set(y.tolist()) == {1.0, 1.125}
    assert abs((y > 1).mean() - p) < 4 * np.sqrt(p * (1 - p) / x.size)
    for threads in (1, 3, 0):
        np.testing.assert_array_equal(lowp.round(x, "e4m3", rounding="stochastic", seed=1, threads=threads), y)
    np.testing.assert_array_equal(lowp.round(x[1000:2000], "e4m3", rounding="stochastic", seed=1, first=1000), y[1000:2000])
    assert (lowp.round(x, "e4m3", rounding="stochastic", seed=2) != y).mean() > 0.1
    assert abs((lowp.round(x, "e4m3", rounding="stochastic-equal") > 1).mean() - 0.5) < 4 * 0.5 / np.sqrt(x.size)


@pytest.mark.parametrize("options, text", [
    ({"rounding": "best"}, "nearest-even, nearest-away"), ({"overflow": "best"}, "saturate"), ({"subnormals": "best"}, "keep"),
    ({"random_bits": 33}, "33"), ({"seed": -1}, "seed"), ({"first": 1 << 64}, "first"), ({"overflow": "wrap"}, "wrap"), ({"threads": -1}, "0 to 1024"),
])
def test_rules_that_do_not_exist_or_do_not_apply_are_refused(options, text):
    with pytest.raises(lowp.UsageError, match=text):
        lowp.round(np.zeros(3, np.float32), "e4m3", **options)


def test_formats_with_scales_are_refused():
    with pytest.raises(lowp.UsageError, match="quantize"):
        lowp.round(np.zeros(32, np.float32), "mxfp4")


def test_codes_that_are_too_few_are_refused():
    with pytest.raises(lowp.UsageError, match="need 5 bytes, there are 4"):
        lowp.codes_values(b"1234", "e2m1", 9)
    with pytest.raises(lowp.UsageError):
        lowp.codes_values(b"1234", "e2m1", -1)
