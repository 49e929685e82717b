/* Rounding loops compiled for AVX-512. */
#include "format/round_lanes_template.h"

const lp_lane_functions lp_lane_functions_avx512 = {values_f32, values_f64, codes_f32};
