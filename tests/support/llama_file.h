/* Small Llama files for tests: shapes and weights are given, the file is written to a temporary path. */
#ifndef TESTS_LLAMA_FILE_H
#define TESTS_LLAMA_FILE_H

#include <lowp/lowp.h>

typedef struct llama_shape {
    int64_t n_vocab, n_embd, n_layer, n_head, n_head_kv, head_size, n_ffn, n_context;
    float epsilon;
    bool tied;
} llama_shape;

/* Weights in the order of the file: value i of tensor `name`; called in ascending order, tensor by tensor. */
typedef float (*llama_value)(void *context, const char *name, int64_t i);

/* Keys that a test wants otherwise: 0 leaves the shape's own. */
typedef struct llama_oddities {
    int64_t n_head_key, n_head_kv_key, rope_key, n_layer_key, n_embd_key;
    bool no_epsilon;
} llama_oddities;

/* Writes F32 matrices (packing NULL) or encodes them into packing where the row fits, else F16. Fails the test on error. */
void llama_write(const char *path, const llama_shape *shape, const lp_packing *packing, llama_value value, void *context,
                 const llama_oddities *odd);

/* tmpdir/NAME, the same folder for the whole test program; removed at exit. */
const char *test_path(const char *name);

/* The generator of the cards: s = 1664525 s + 1013904223, u = ((s >> 16) - 32768) / 32768; matrices 0.5 u, vectors
 * 1 + 0.25 u. context: uint32_t state, 12345 for tiny model A. */
float lcg_weight(void *context, const char *name, int64_t i);

#endif
