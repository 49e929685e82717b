/* Samplers: from logits to the next token. */
#ifndef LOWP_SAMPLE_H
#define LOWP_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The chain's order: penalties, top-k, typical, top-p, min-p, temperature, draw. Temperature comes last, so the cuts act
 * on the untempered distribution. Ties: higher logit first, then lower id. */
typedef struct lp_sampler_options {
    double temperature;       /* 0.8; <= 0: greedy */
    int32_t top_k;            /* 40; <= 0: off */
    double top_p;             /* 0.95; >= 1: off */
    double min_p;             /* 0.05; <= 0: off */
    double typical_p;         /* 1; >= 1: off */
    double repeat_penalty;    /* 1: off; finite and > 0 */
    double frequency_penalty; /* 0 */
    double presence_penalty;  /* 0 */
    int32_t repeat_last_n;    /* 64; 0: off, -1: all */
    uint32_t seed;            /* 0; of MT19937, one draw per token */
} lp_sampler_options;

typedef struct lp_sampler lp_sampler;

LP_API lp_sampler_options lp_sampler_defaults(void);

/* Errors: LP_USAGE naming the option (NaN, top_p outside [0,1], repeat_penalty <= 0, repeat_last_n above 2^24 ...). */
LP_API lp_status lp_sampler_create(const lp_sampler_options *options, int32_t n_vocab, lp_sampler **out);
LP_API void lp_sampler_free(lp_sampler *sampler); /* NULL is allowed */

/* Draws the next token from logits[n_vocab], which are not changed. Does not accept it.
 * Errors: LP_INPUT for a NaN or +infinite logit, or if all are -infinite. */
LP_API lp_status lp_sampler_draw(lp_sampler *sampler, const float *logits, int32_t *token);

/* Tells the penalties about a token of the prompt or one that was drawn. */
LP_API void lp_sampler_accept(lp_sampler *sampler, int32_t token);

/* Candidates left after the chain of the last draw: ids, probabilities (descending). Returns their number. */
LP_API size_t lp_sampler_candidates(const lp_sampler *sampler, const int32_t **ids, const float **p);

#ifdef __cplusplus
}
#endif
#endif
