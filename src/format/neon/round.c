/* Rounding loops compiled for NEON. */
#include <arm_neon.h>
#include <stdint.h>

typedef uint64x2_t words64;
enum { N_LANES = 2, HAS_UNSIGNED_CONVERSION = 1 };

static inline words64 multiply(words64 a, words64 b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
static inline words64 high_half(words64 a) { return vshrq_n_u64(a, 32); }
static inline words64 both_xor(words64 a, words64 b, words64 c) { return veorq_u64(veorq_u64(a, b), c); }
static inline words64 set_all(uint32_t a) { return vdupq_n_u64(a); }

static inline words64 first_counters(uint32_t first)
{
    return vcombine_u64(vcreate_u64(first), vcreate_u64((uint32_t)(first + 1)));
}

static inline void store(uint32_t *out, words64 c0, words64 c1, words64 c2, words64 c3)
{
    uint64x2_t low = vsliq_n_u64(c0, c1, 32), high = vsliq_n_u64(c2, c3, 32);
    vst1q_u32(out, vreinterpretq_u32_u64(vzip1q_u64(low, high)));
    vst1q_u32(out + 4, vreinterpretq_u32_u64(vzip2q_u64(low, high)));
}

#include "format/codes_template.h"
#include "format/round_lanes_template.h"

const lp_lane_functions lp_lane_functions_neon = {values_f32, values_f64, codes_f32, decode_f32, pack_codes, unpack_codes};
