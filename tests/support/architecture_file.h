/* Small files of every architecture for tests: those of card runtime/architectures. */
#ifndef TESTS_ARCHITECTURE_FILE_H
#define TESTS_ARCHITECTURE_FILE_H

#include "support/llama_file.h"

typedef struct architecture_shape {
    const char *label, *architecture;
    int64_t n_embd, n_layer, n_head, n_head_kv, head_size, n_ffn, n_context;
    float epsilon, base;
    bool untied, qkv_bias, all_bias, layer_norm, no_pre_norm, post_norms, head_norms, row_norms, fused, no_gate, own_norms, parallel;
    int64_t rotated, window, n_experts, n_used, n_shared;
    bool fused_experts;
    const char *yarn; /* rope.scaling.type */
} architecture_shape;

extern const architecture_shape card_shapes[];
extern const int n_card_shapes;
const architecture_shape *card_shape(const char *label);

/* Writes the file with the values of lcg_weight (norms 1 + 0.25 u, biases 0.25 u, matrices 0.5 u times gain); matrices encoded
 * into packing where a row fits, NULL: F32. Returns how many values the generator gave. */
int64_t architecture_write(const char *path, const architecture_shape *shape, const lp_packing *packing, float gain);

#endif
