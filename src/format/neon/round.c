/* Rounding loops compiled for NEON. */
#include "format/round_lanes_template.h"

const lp_lane_functions lp_lane_functions_neon = {values_f32, values_f64, codes_f32};
