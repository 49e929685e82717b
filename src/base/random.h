/* Random numbers: counter-based Philox for everything, MT19937 for samplers alone. */
#ifndef LP_BASE_RANDOM_H
#define LP_BASE_RANDOM_H

#include <stdint.h>

/* Philox4x32-10 (Salmon et al. 2011): out[4] from a 128-bit counter and a 64-bit key (low, high word of the seed). */
void lp_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

enum lp_random_purpose { LP_RANDOM_ROUND = 0, LP_RANDOM_INIT = 1 };

/* Word `index` of the stream of (seed, tensor, step, purpose, member): counter = (index/4, tensor, step,
 * purpose<<24 | member), word index mod 4. */
uint32_t lp_random_word(uint64_t seed, uint64_t index, uint32_t tensor, uint32_t step, uint32_t purpose, uint32_t member);

/* FNV-1a-32 of a tensor's name: its word in the counter. */
uint32_t lp_tensor_word(const char *name);

/* MT19937 (Matsumoto and Nishimura 1998), init_genrand(seed). */
typedef struct lp_mt19937 {
    uint32_t state[624];
    int at;
} lp_mt19937;
void lp_mt19937_seed(lp_mt19937 *mt, uint32_t seed);
uint32_t lp_mt19937_next(lp_mt19937 *mt);

/* (x0 + x1 2^32) / 2^64 from two outputs, rounded to f64, below 1 (libstdc++'s uniform_real_distribution<double>). */
double lp_mt19937_uniform(lp_mt19937 *mt);

#endif
