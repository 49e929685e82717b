/* Properties of the memory plan and the cache pool. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "graph/cache.h"
#include "graph/graph.h"
#include "model/model.h"
#include "support/llama_file.h"

/* The embedded model's graph, planned. */
static lp_model *plan(lp_graph *graph, int64_t max_tokens)
{
    lp_model *model;
    assert_int_equal(lp_model_open("embedded", &model), LP_OK);
    lp_graph_init(graph);
    assert_int_equal(lp_model_build_graph(model, graph), LP_OK);
    assert_int_equal(lp_graph_lower_activations(graph), LP_OK);
    assert_int_equal(lp_graph_plan(graph, max_tokens, max_tokens), LP_OK);
    return model;
}

static int32_t root(const lp_graph *g, int32_t v)
{
    while (g->value[v].alias >= 0) v = g->value[v].alias;
    return v;
}

static void values_alive_together_never_share_memory(void **unused)
{
    (void)unused;
    lp_graph g;
    lp_model *model = plan(&g, 17);
    for (int32_t i = 0; i < g.n_values; i++)
        for (int32_t k = 0; k < i; k++) {
            const lp_value *a = &g.value[i], *b = &g.value[k];
            if (a->storage == LP_STORAGE_NONE || b->storage == LP_STORAGE_NONE || a->alias >= 0 || b->alias >= 0) continue;
            assert_true(a->offset + a->n_bytes <= g.arena_bytes);
            bool together = a->first <= b->last && b->first <= a->last;
            if (together) assert_true(a->offset + a->n_bytes <= b->offset || b->offset + b->n_bytes <= a->offset);
        }
    lp_graph_free(&g);
    lp_model_close(model);
}

static void no_op_reads_what_its_own_stage_writes(void **unused)
{
    (void)unused;
    lp_graph g;
    lp_model *model = plan(&g, 17);
    for (int32_t i = 0; i < g.n_ops; i++)
        for (int32_t k = 0; k < g.n_ops; k++) {
            if (i == k || g.op[i].stage != g.op[k].stage) continue;
            assert_int_not_equal(root(&g, g.op[i].out), root(&g, g.op[k].out));
            for (int n = 0; n < LP_OP_INPUTS; n++)
                if (g.op[k].in[n] >= 0) assert_int_not_equal(root(&g, g.op[i].out), root(&g, g.op[k].in[n]));
        }
    lp_graph_free(&g);
    lp_model_close(model);
}

static void the_arena_is_far_smaller_than_the_sum_of_all_values(void **unused)
{
    (void)unused;
    lp_graph g;
    lp_model *model = plan(&g, 64);
    size_t sum = 0;
    for (int32_t i = 0; i < g.n_values; i++)
        if (g.value[i].storage != LP_STORAGE_NONE && g.value[i].alias < 0) sum += g.value[i].n_bytes;
    assert_true(g.arena_bytes * 2 < sum);
    lp_graph_free(&g);
    lp_model_close(model);
}

static void the_cache_gives_pages_back_and_never_twice(void **unused)
{
    (void)unused;
    lp_cache c;
    assert_int_equal(lp_cache_init(&c, 2, 3, 8, 3, 600), LP_OK); /* 3 pages a sequence */
    assert_int_equal(c.n_free, 9);
    lp_cache_extend(&c, 0, 256);
    assert_int_equal(c.n_free, 8);
    lp_cache_extend(&c, 0, 257);
    lp_cache_extend(&c, 1, 600);
    lp_cache_extend(&c, 2, 1);
    assert_int_equal(c.n_free, 3);
    bool seen[9] = {false};
    for (int i = 0; i < 9; i++)
        if (c.table[i] >= 0) {
            assert_false(seen[c.table[i]]);
            seen[c.table[i]] = true;
        }
    lp_cache_truncate(&c, 1, 256);
    assert_int_equal(c.n_free, 5);
    assert_int_equal(c.length[1], 256);
    lp_cache_truncate(&c, 1, 0);
    lp_cache_truncate(&c, 0, 0);
    lp_cache_truncate(&c, 2, 0);
    assert_int_equal(c.n_free, 9);
    lp_cache_free(&c);
}

static void a_cache_that_overflows_the_address_space_is_refused(void **unused)
{
    (void)unused;
    lp_cache c;
    assert_int_equal(lp_cache_bytes(4096, 4096, 1024, 65536, 1 << 24), 0);
    assert_int_equal(lp_cache_init(&c, 4096, 4096, 1024, 65536, 1 << 24), LP_RESOURCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_alive_together_never_share_memory),
        cmocka_unit_test(no_op_reads_what_its_own_stage_writes),
        cmocka_unit_test(the_arena_is_far_smaller_than_the_sum_of_all_values),
        cmocka_unit_test(the_cache_gives_pages_back_and_never_twice),
        cmocka_unit_test(a_cache_that_overflows_the_address_space_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
