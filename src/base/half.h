/* 16-bit floats by bits, never by a compiler type. */
#ifndef LP_BASE_HALF_H
#define LP_BASE_HALF_H

#include <stdint.h>
#include <string.h>

/* The one place for it: every file format of ours is little-endian and is read by memcpy. */
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "lowp needs a little-endian target: model files are read in place"
#endif

#if __SIZEOF_POINTER__ != 8
#error "lowp needs a 64-bit target: whole model files are mapped"
#endif

static inline float lp_f32_from_bits(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }
static inline uint32_t lp_f32_bits(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }

/* Exact, subnormals included; NaN keeps its payload and becomes quiet. */
static inline float lp_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
    if (exponent == 31) return lp_f32_from_bits(sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0));
    if (exponent) return lp_f32_from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
    float tiny = (float)mantissa * 0x1p-24f; /* exact: at most 10 bits */
    return lp_f32_from_bits(sign | lp_f32_bits(tiny));
}

/* Nearest, ties to even; overflow gives infinity, NaN a quiet NaN of the same sign. */
static inline uint16_t lp_f16_from_f32(float f)
{
    uint32_t u = lp_f32_bits(f), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((a >> 13) & 0x3ffu));
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and above */
    if (a < 0x38800000u) { /* below 2^-14: subnormal; adding 2^-1 rounds to multiples of 2^-24 */
        float r = lp_f32_from_bits(a) + 0.5f;
        return (uint16_t)(sign | (lp_f32_bits(r) - 0x3f000000u));
    }
    a += 0xfffu + ((a >> 13) & 1u);
    return (uint16_t)(sign | ((a - 0x38000000u) >> 13));
}

static inline float lp_bf16_to_f32(uint16_t b) { return lp_f32_from_bits((uint32_t)b << 16); }

/* Nearest, ties to even; NaN becomes quiet. */
static inline uint16_t lp_bf16_from_f32(float f)
{
    uint32_t u = lp_f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

static inline uint16_t lp_read_u16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t lp_read_u32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t lp_read_u64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }

#endif
