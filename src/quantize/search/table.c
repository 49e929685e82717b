/* The encoders as data: for each packing its bytes, and for each way of encoding its plan. */
#include <stddef.h>
#include <strings.h>

#include "quantize/search/lanes.h"

#define TINY 1e-15f

/* ---- searches ---------------------------------------------------------------------------------------------------- */

/* Symmetric: 18 inverse scales around -n / extreme, in steps of a tenth of a level. */
#define CORRELATION(n)                                                                                            \
    {.kind = LP_KIND_CORRELATION, .first = -(n), .last = (n)-1, .span = -(n), .step = -0.1f, .first_trial = -9,      \
     .last_trial = 9, .skip_zero = true, .floor = TINY}
/* Scale and minimum: trials from first on, in steps. */
#define AFFINE(n, from, by, count, mad)                                                                           \
    {.kind = LP_KIND_AFFINE, .last = (n), .span = (n), .base = (from), .step = (by), .last_trial = (count), .absolute = (mad)}
#define AFFINE_IMPORTANCE(n) AFFINE(n, -0.9f, 0.05f, 36, false)
#define AFFINE_ONCE(n) {.kind = LP_KIND_AFFINE, .last = (n), .span = (n), .last_trial = -1}
#define POSITIVE(n)                                                                                               \
    {.kind = LP_KIND_POSITIVE, .last = (n), .span = (n), .step = 0.1f, .first_trial = -4, .last_trial = 4,           \
     .skip_zero = true, .floor = TINY}
#define EXTREME(n, least) {.kind = LP_KIND_EXTREME, .first = -(n), .last = (n)-1, .span = -(n), .floor = (least)}
#define LARGEST(n) {.kind = LP_KIND_LARGEST, .last = (n), .span = (n)}
#define QUOTIENT(n) {.kind = LP_KIND_QUOTIENT, .first = -(n), .last = (n)-1, .span = -(n)}
#define RANGE(n) {.kind = LP_KIND_RANGE, .last = (n), .span = (n)}

static const lp_scale_search quotient8 = QUOTIENT(8), quotient16 = QUOTIENT(16);
static const lp_scale_search quotient127 = {.kind = LP_KIND_QUOTIENT, .first = -127, .last = 127, .span = 127};
static const lp_scale_search quotient_iq4 = {.kind = LP_KIND_QUOTIENT, .last = 15, .span = -127, .table = true};
static const lp_scale_search range15 = RANGE(15), range31 = RANGE(31);
static const lp_scale_search exponent = {.kind = LP_KIND_EXPONENT, .last = 15};
static const lp_scale_search extreme4 = EXTREME(4, TINY), extreme32 = EXTREME(32, TINY);
static const lp_scale_search super_extreme32 = EXTREME(32, 0), super_extreme128 = EXTREME(128, TINY);
static const lp_scale_search super_divided32 = {.kind = LP_KIND_DIVIDED, .first = -32, .last = 31, .span = -32};
static const lp_scale_search largest15 = LARGEST(15), largest63 = LARGEST(63);
static const lp_scale_search correlation4 = CORRELATION(4), correlation8 = CORRELATION(8);
static const lp_scale_search correlation16 = CORRELATION(16), correlation32 = CORRELATION(32);
static const lp_scale_search correlation_iq4 = {.kind = LP_KIND_CORRELATION, .last = 15, .span = -127, .step = 1.0f,
                                                .first_trial = -7, .last_trial = 7, .table = true, .floor = TINY};
static const lp_scale_search descent4 = {.kind = LP_KIND_DESCENT, .first = -4, .last = 3, .span = -4, .any_start = true, .floor = TINY};
static const lp_scale_search positive15 = POSITIVE(15), positive63 = POSITIVE(63);
static const lp_scale_search affine3 = AFFINE(3, -0.5f, 0.1f, 15, true), affine15 = AFFINE(15, -1.0f, 0.1f, 20, false);
static const lp_scale_search affine31 = AFFINE(31, -0.5f, 0.1f, 15, false);
static const lp_scale_search affine3w = AFFINE_IMPORTANCE(3), affine15w = AFFINE_IMPORTANCE(15), affine31w = AFFINE_IMPORTANCE(31);
static const lp_scale_search affine3_once = AFFINE_ONCE(3), affine15_once = AFFINE_ONCE(15), affine31_once = AFFINE_ONCE(31);

/* ---- formats ----------------------------------------------------------------------------------------------------- */

#define TRUNCATE(search, b) {.sub = &(search), .final = LP_FINAL_TRUNCATE, .bias = (b)}
#define STORED(search) {.sub = &(search), .final = LP_FINAL_STORED}
#define STORED_SUPER(search, second) {.sub = &(search), .super = &(second), .final = LP_FINAL_STORED}
/* Importance in a simple type: sigma2 is the row's mean square, the codes are the search's. */
#define IN_ROW(search) {.weighting = LP_WEIGHT_ROOT, .sigma = LP_SIGMA_ROW, .sub = &(search), .final = LP_FINAL_SEARCH}
#define IN_BLOCK(factor, search, second)                                                                          \
    {.weighting = LP_WEIGHT_ROOT, .sigma = LP_SIGMA_BLOCK, .sigma_factor = (factor), .sub = &(search), .super = &(second), .final = LP_FINAL_STORED}
#define SEARCHED(weights, search, second) {.weighting = (weights), .sub = &(search), .super = &(second), .final = LP_FINAL_STORED}

static const lp_encode_format formats[] = {
    {.name = "q4_0", .n_values = 32, .n_bytes = 18, .n_sub = 32, .zero = 8, .at_scale = 0, .at_offset = -1,
     .plane = {{4, 0, 16, 2}},
     .plain = TRUNCATE(quotient8, 8.5f), .weighted = IN_ROW(correlation8), .rtn = STORED(quotient8)},
    {.name = "q4_1", .n_values = 32, .n_bytes = 20, .n_sub = 32, .zero = 0, .at_scale = 0, .at_offset = 2,
     .plane = {{4, 0, 16, 4}},
     .plain = TRUNCATE(range15, 0.5f), .weighted = IN_ROW(affine15w), .rtn = STORED(range15)},
    {.name = "q5_0", .n_values = 32, .n_bytes = 22, .n_sub = 32, .zero = 16, .at_scale = 0, .at_offset = -1,
     .plane = {{1, 4, 1, 2}, {4, 0, 16, 6}},
     .plain = TRUNCATE(quotient16, 16.5f), .weighted = IN_ROW(correlation16), .rtn = STORED(quotient16)},
    {.name = "q5_1", .n_values = 32, .n_bytes = 24, .n_sub = 32, .zero = 0, .at_scale = 0, .at_offset = 2,
     .plane = {{1, 4, 1, 4}, {4, 0, 16, 8}},
     .plain = TRUNCATE(range31, 0.5f), .weighted = IN_ROW(affine31w), .rtn = STORED(range31)},
    {.name = "q8_0", .n_values = 32, .n_bytes = 34, .n_sub = 32, .zero = 0, .at_scale = 0, .at_offset = -1,
     .plane = {{8, 0, 32, 2}},
     .plain = {.sub = &quotient127, .final = LP_FINAL_AWAY}, .weighted = {.sub = &quotient127, .final = LP_FINAL_AWAY},
     .rtn = STORED(quotient127)},
    {.name = "iq4_nl", .n_values = 32, .n_bytes = 18, .n_sub = 32, .zero = 8, .at_scale = 0, .at_offset = -1,
     .plane = {{4, 0, 16, 2}},
     .plain = {.weighting = LP_WEIGHT_SQUARE, .sub = &correlation_iq4, .final = LP_FINAL_TABLE},
     .weighted = {.weighting = LP_WEIGHT_ROOT, .sigma = LP_SIGMA_BLOCK, .sigma_factor = 2, .sub = &correlation_iq4, .final = LP_FINAL_TABLE},
     .rtn = STORED(quotient_iq4)},
    {.name = "iq4_xs", .n_values = 256, .n_bytes = 136, .n_sub = 32, .zero = 8, .at_scale = 0, .at_offset = -1,
     .sub_layout = LP_SUB_SPLIT, .at_sub = 2, .plane = {{4, 0, 16, 8}},
     .plain = {.weighting = LP_WEIGHT_SQUARE, .sub = &correlation_iq4, .super = &super_divided32, .final = LP_FINAL_TABLE},
     .weighted = {.weighting = LP_WEIGHT_ROOT, .sigma = LP_SIGMA_BLOCK, .sigma_factor = 2, .sub = &correlation_iq4,
                  .super = &super_divided32, .final = LP_FINAL_TABLE},
     .rtn = {.sub = &quotient_iq4, .super = &super_divided32, .final = LP_FINAL_TABLE}},
    {.name = "mxfp4", .n_values = 32, .n_bytes = 17, .n_sub = 32, .zero = 0, .at_scale = 0, .at_offset = -1,
     .exponent = true, .plane = {{4, 0, 16, 1}},
     .plain = {.sub = &exponent, .final = LP_FINAL_E2M1}, .weighted = {.sub = &exponent, .final = LP_FINAL_E2M1},
     .rtn = {.sub = &exponent, .final = LP_FINAL_E2M1}},
    {.name = "q2_k", .n_values = 256, .n_bytes = 84, .n_sub = 16, .zero = 0, .at_scale = 80, .at_offset = 82,
     .sub_layout = LP_SUB_NIBBLES, .at_sub = 0, .plane = {{2, 0, 32, 16}},
     .plain = SEARCHED(LP_WEIGHT_MAGNITUDE, affine3, largest15), .weighted = IN_BLOCK(1, affine3w, positive15),
     .rtn = STORED_SUPER(affine3_once, largest15)},
    {.name = "q3_k", .n_values = 256, .n_bytes = 110, .n_sub = 16, .zero = 4, .at_scale = 108, .at_offset = -1,
     .sub_layout = LP_SUB_SIX, .at_sub = 96, .plane = {{1, 2, 32, 0}, {2, 0, 32, 32}},
     .plain = SEARCHED(LP_WEIGHT_SQUARE, descent4, super_extreme32), .weighted = IN_BLOCK(2, correlation4, correlation32),
     .rtn = STORED_SUPER(extreme4, super_extreme32)},
    {.name = "q4_k", .n_values = 256, .n_bytes = 144, .n_sub = 32, .zero = 0, .at_scale = 0, .at_offset = 2,
     .sub_layout = LP_SUB_SIX_PAIR, .at_sub = 4, .plane = {{4, 0, 32, 16}},
     .plain = SEARCHED(LP_WEIGHT_RMS, affine15, largest63), .weighted = IN_BLOCK(2, affine15w, positive63),
     .rtn = STORED_SUPER(affine15_once, largest63)},
    {.name = "q5_k", .n_values = 256, .n_bytes = 176, .n_sub = 32, .zero = 0, .at_scale = 0, .at_offset = 2,
     .sub_layout = LP_SUB_SIX_PAIR, .at_sub = 4, .plane = {{1, 4, 32, 16}, {4, 0, 32, 48}},
     .plain = SEARCHED(LP_WEIGHT_RMS, affine31, largest63), .weighted = IN_BLOCK(2, affine31w, positive63),
     .rtn = STORED_SUPER(affine31_once, largest63)},
    {.name = "q6_k", .n_values = 256, .n_bytes = 210, .n_sub = 16, .zero = 32, .at_scale = 208, .at_offset = -1,
     .sub_layout = LP_SUB_BYTES, .at_sub = 192, .plane = {{4, 0, 64, 0}, {2, 4, 32, 128}},
     .plain = SEARCHED(LP_WEIGHT_SQUARE, correlation32, super_extreme128),
     .weighted = SEARCHED(LP_WEIGHT_IMPORTANCE, correlation32, super_extreme128),
     .rtn = STORED_SUPER(extreme32, super_extreme128)},
};

const lp_encode_format *lp_encode_format_find(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (!strcasecmp(formats[i].name, name)) return &formats[i];
    return NULL;
}
