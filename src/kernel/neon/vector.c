/* Everything but the integer linear layers, with NEON: the templates of vector/ and the int8 activations. */
#include "kernel/neon/neon.h"
#include "kernel/neon/v16.h"
#include "base/half.h"
#include "kernel/vector/elementwise.h"
#include "kernel/vector/attention.h"
#include "kernel/vector/linear_f32.h"
#include "kernel/neon/v8.h"
#include "kernel/vector/vocabulary.h"

static void quantize_i8(const float *x, int64_t k, const lp_act_row *row)
{
    for (int64_t b = 0; b < k / LP_ACT_BLOCK; b++) {
        float32x4_t v[8];
        int32x4_t q[8];
        uint32x4_t most = vdupq_n_u32(0);
        UNROLL for (int i = 0; i < 8; i++) {
            v[i] = vld1q_f32(x + b * LP_ACT_BLOCK + 4 * i);
            /* As integers magnitudes keep their order, with infinities and NaN on top. */
            most = vmaxq_u32(most, vandq_u32(vreinterpretq_u32_f32(v[i]), vdupq_n_u32(0x7fffffffu)));
            q[i] = vdupq_n_s32(0);
        }
        uint32_t top = vmaxvq_u32(most);
        float a = lp_f32_from_bits(top), scale = 0;
        if (top >= 0x7f800000u) {
            scale = NAN;
        } else if (a >= 0x1p-100f) {
            float32x4_t inverse = vdupq_n_f32(127.0f / a);
            scale = a / 127.0f;
            UNROLL for (int i = 0; i < 8; i++) q[i] = vcvtnq_s32_f32(vmulq_f32(v[i], inverse));
        }
        int32_t s[2];
        UNROLL for (int i = 0; i < 2; i++) {
            int16x8_t low = vcombine_s16(vmovn_s32(q[4 * i]), vmovn_s32(q[4 * i + 1]));
            int16x8_t high = vcombine_s16(vmovn_s32(q[4 * i + 2]), vmovn_s32(q[4 * i + 3]));
            vst1q_s8(row->code + b * LP_ACT_BLOCK + 16 * i, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
            s[i] = vaddvq_s32(vaddq_s32(vaddq_s32(q[4 * i], q[4 * i + 1]), vaddq_s32(q[4 * i + 2], q[4 * i + 3])));
            row->sum16[2 * b + i] = s[i];
            row->h16[2 * b + i] = (float)s[i] * scale;
        }
        row->scale[b] = scale;
        row->sum32[b] = s[0] + s[1];
        row->h32[b] = (float)(s[0] + s[1]) * scale;
    }
}

#include "kernel/vector/table.h"

void lp_kernels_init_neon(lp_kernels *kernels)
{
    lp_neon_init_integer(kernels);
    set_vector_kernels(kernels);
}
