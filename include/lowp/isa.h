/* Which instruction set the kernels use. Every choice gives the same bits. */
#ifndef LOWP_ISA_H
#define LOWP_ISA_H

#include <stdbool.h>

#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lp_isa {
    LP_ISA_REF,    /* plain C, the specification */
    LP_ISA_AVX2,   /* AVX2, FMA, F16C */
    LP_ISA_AVX512, /* F, BW, VL, VNNI and VBMI */
    LP_ISA_NEON,   /* aarch64 with dotprod */
    LP_ISA_COUNT
} lp_isa;

/* "ref", "avx2", "avx512", "neon" */
LP_API const char *lp_isa_name(lp_isa isa);

/* Whether this build holds the kernels and this processor can run them. */
LP_API bool lp_isa_available(lp_isa isa);

/* Chooses by name; NULL takes LOWP_ISA from the environment, or else the best that is available. Call before sessions
 * are created. Errors: LP_USAGE for an unknown name, LP_UNSUPPORTED for one that this machine lacks. */
LP_API lp_status lp_isa_select(const char *name);

/* The one in use (the best available before any lp_isa_select). */
LP_API lp_isa lp_isa_current(void);

/* The processor's own name, "AMD EPYC ..."; "unknown" where the system does not tell. */
LP_API const char *lp_cpu_name(void);

#ifdef __cplusplus
}
#endif
#endif
