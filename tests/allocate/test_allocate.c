/* Sensitivities and the best file of a size: what was measured alone is what a whole file shows, and what is promised holds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "allocate/sensitivity/harness.h"
#include "support/llama_file.h"

enum { N_TEXT = 3000, CONTEXT = 40, WINDOWS = 3 };

static char text[N_TEXT];
static const llama_shape shape = {.n_vocab = 64, .n_embd = 256, .n_layer = 2, .n_head = 4, .n_head_kv = 2, .head_size = 32,
                                  .n_ffn = 256, .n_context = 64, .epsilon = 1e-5f};

/* Weights that fall off from layer to layer, so that tensors differ in worth. */
static float uneven(void *context, const char *name, int64_t i)
{
    float w = lcg_weight(context, name, i);
    return strstr(name, "norm") ? w : strstr(name, "blk.1") ? w * 0.05f : strstr(name, "ffn_down") ? w * 0.3f : w * 0.1f;
}

static lp_model *open_model(bool tied)
{
    uint32_t state = 7;
    llama_shape s = shape;
    lp_model *model;
    const char *path = test_path(tied ? "tied.gguf" : "untied.gguf");
    s.tied = tied;
    llama_write(path, &s, lp_packing_by_name("f16"), uneven, &state, NULL);
    if (lp_model_open(path, &model) != LP_OK) fail_msg("%s", lp_error());
    return model;
}

static void ok(lp_status status)
{
    if (status != LP_OK) fail_msg("%s", lp_error());
}

static int make_text(void **unused)
{
    (void)unused;
    uint32_t x = 3;
    for (int i = 0; i < N_TEXT; i++) {
        x = x * 1664525u + 1013904223u;
        text[i] = (char)('a' + (x >> 24) % 26);
    }
    return 0;
}

static lp_gguf *quantized(const lp_model *model, const char *format, const char *name)
{
    lp_quantize_result r;
    lp_gguf *file;
    const lp_quantize_options o = {.packing = lp_packing_by_name(format), .force = true};
    ok(lp_quantize(lp_model_gguf(model), test_path(name), &o, NULL, &r));
    lp_quantize_result_free(&r);
    ok(lp_gguf_open(test_path(name), &file));
    return file;
}

static const lp_sensitivity_options measuring = {.n_context = CONTEXT, .n_windows = WINDOWS};

/* ---- the harness ----------------------------------------------------------------------------------------------------- */

static bool is_matrix(const lp_tensor *t) { return t->n_dims == 2; }

static int by_order(const void *a, const void *b, void *harness)
{
    const lp_tensor *const *x = a, *const *y = b;
    int32_t p = lp_harness_order(harness, (*x)->name), q = lp_harness_order(harness, (*y)->name);
    return p < q ? -1 : p > q;
}

static int list_matrices(lp_harness *h, const lp_gguf *file, const lp_tensor **list)
{
    int n = 0;
    for (int64_t i = 0; i < lp_gguf_tensor_count(file); i++)
        if (is_matrix(lp_gguf_tensor_at(file, i))) list[n++] = lp_gguf_tensor_at(file, i);
    qsort_r(list, (size_t)n, sizeof *list, by_order, h);
    return n;
}

static void check_swaps(bool tied)
{
    lp_model *model = open_model(tied);
    lp_gguf *file = quantized(model, "q4_0", "q4.gguf");
    lp_harness *h, *whole;
    const lp_tensor *list[32];
    ok(lp_harness_open(model, text, N_TEXT, &measuring, NULL, &h));
    ok(lp_harness_open(model, text, N_TEXT, &measuring, NULL, &whole));
    int n = list_matrices(h, file, list);
    assert_int_equal(n, tied ? 15 : 16);
    ok(lp_harness_begin(h));
    for (int i = 0; i < n; i++) {
        lp_swap_metrics a, b, none;
        ok(lp_harness_start(h, list[i]->name, NULL));
        ok(lp_harness_swap(h, list[i]->name, list[i], NULL, &a));
        ok(lp_harness_swap(h, list[i]->name, NULL, NULL, &none));
        ok(lp_harness_set(whole, list[i]->name, list[i]));
        ok(lp_harness_evaluate(whole, NULL, &b));
        ok(lp_harness_set(whole, list[i]->name, NULL));
        assert_true(a.kl > 0 && a.kl == b.kl && a.kl_error == b.kl_error && a.loss_increase == b.loss_increase);
        assert_true(a.logit_noise == b.logit_noise && a.agreement == b.agreement);
        assert_true(a.local_error > 0 && a.weight_error > 0);
        assert_true(none.kl == 0 && none.loss_increase == 0 && none.logit_noise == 0 && none.agreement == 1);
        assert_true(none.local_error == 0 && none.weight_error == 0);
    }
    int64_t run, all;
    lp_harness_work(h, &run, &all);
    assert_true((double)run < 0.75 * (double)all); /* what measures the ops' own errors included */
    lp_harness_close(h);
    lp_harness_close(whole);
    lp_gguf_close(file);
    lp_model_close(model);
}

static void a_swap_after_kept_activations_is_the_whole_forward_to_the_last_bit(void **unused) { (void)unused; check_swaps(false); }
static void a_tied_embedding_is_one_class_that_both_its_readers_see(void **unused) { (void)unused; check_swaps(true); }

/* The text has just as many windows as are asked for, so that both measure on the same. */
static void all_tensors_swapped_are_what_compare_says_of_the_file(void **unused)
{
    (void)unused;
    lp_model *model = open_model(true), *small;
    lp_gguf *file = quantized(model, "q3_k", "q3.gguf");
    lp_harness *h;
    lp_swap_metrics m;
    lp_compare_result r;
    const lp_tensor *list[32];
    ok(lp_harness_open(model, text, CONTEXT * WINDOWS, &measuring, NULL, &h));
    assert_int_equal(lp_harness_windows(h), WINDOWS);
    int n = list_matrices(h, file, list);
    for (int i = 0; i < n; i++) ok(lp_harness_set(h, list[i]->name, list[i]));
    ok(lp_harness_evaluate(h, NULL, &m));
    ok(lp_model_open(test_path("q3.gguf"), &small));
    const lp_eval_options o = {.n_context = CONTEXT, .activations = LP_ACTIVATION_F32};
    ok(lp_compare(model, small, text, CONTEXT * WINDOWS, &o, NULL, &r, NULL));
    assert_true(m.kl == r.kl_mean_nats);
    assert_true(m.agreement == r.top1_agreement);
    assert_true(fabs(m.loss_increase - (r.cross_entropy_nats - r.reference_cross_entropy_nats)) < 1e-12);
    lp_harness_close(h);
    lp_model_close(small);
    lp_gguf_close(file);
    lp_model_close(model);
}

static void threads_change_no_bit_of_a_sensitivity(void **unused)
{
    (void)unused;
    lp_model *model = open_model(false);
    lp_gguf *file = quantized(model, "q4_0", "q4t.gguf");
    lp_swap_metrics m[3];
    static const int threads[3] = {1, 2, 7};
    for (int t = 0; t < 3; t++) {
        lp_harness *h;
        lp_pool *pool;
        ok(lp_pool_create(threads[t], &pool));
        lp_sensitivity_options o = measuring;
        o.pool = pool;
        ok(lp_harness_open(model, text, N_TEXT, &o, NULL, &h));
        ok(lp_harness_begin(h));
        ok(lp_harness_start(h, "blk.1.attn_v.weight", NULL));
        ok(lp_harness_swap(h, "blk.1.attn_v.weight", lp_gguf_find_tensor(file, "blk.1.attn_v.weight"), NULL, &m[t]));
        lp_harness_close(h);
        lp_pool_destroy(pool);
    }
    assert_memory_equal(&m[0], &m[1], sizeof m[0]);
    assert_memory_equal(&m[0], &m[2], sizeof m[0]);
    lp_gguf_close(file);
    lp_model_close(model);
}

static void tensors_must_come_in_the_order_of_the_forward(void **unused)
{
    (void)unused;
    lp_model *model = open_model(false);
    lp_harness *h;
    ok(lp_harness_open(model, text, N_TEXT, &measuring, NULL, &h));
    ok(lp_harness_begin(h));
    ok(lp_harness_start(h, "blk.1.attn_q.weight", NULL));
    assert_int_equal(lp_harness_start(h, "blk.0.attn_q.weight", NULL), LP_USAGE);
    assert_int_equal(lp_harness_start(h, "blk.9.attn_q.weight", NULL), LP_USAGE);
    lp_harness_close(h);
    lp_model_close(model);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------- */

static const char *const formats[] = {"q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_0"};

static lp_allocate_options options_of(uint64_t n_bytes)
{
    return (lp_allocate_options){.n_bytes = n_bytes, .formats = formats, .n_formats = 6, .scratch = test_path("out.gguf"),
                                 .sensitivity = measuring, .n_rounds = -1};
}

static uint64_t quantized_size_by(const lp_model *model, const lp_allocation *a, const char *name, const char *recipe)
{
    lp_quantize_result r;
    const lp_quantize_options q = {.packing = a->base, .rules = a->rules, .n_rules = a->n_rules, .force = true, .recipe = recipe};
    ok(lp_quantize(lp_model_gguf(model), test_path(name), &q, NULL, &r));
    uint64_t n = r.n_bytes;
    lp_quantize_result_free(&r);
    return n;
}

static uint64_t quantized_size(const lp_model *model, const lp_allocation *a, const char *name)
{
    return quantized_size_by(model, a, name, NULL);
}

static void candidates_may_be_made_by_another_recipe_than_the_file(void **unused)
{
    (void)unused;
    lp_model *model = open_model(true);
    lp_allocation a;
    lp_allocate_options o = options_of((uint64_t)(4.5 * (double)lp_model_get_info(model)->n_parameters / 8) + 4000);
    o.sensitivity_recipe = "rtn";
    o.quantize.recipe = "reference";
    o.n_rounds = 0;
    ok(lp_allocate(model, text, N_TEXT, &o, NULL, &a));
    assert_string_equal(a.table->recipe, "rtn");
    assert_int_equal(quantized_size_by(model, &a, "recipe.gguf", "reference"), a.n_bytes);
    assert_true(a.n_bytes <= o.n_bytes);
    lp_allocation_free(&a);
    lp_model_close(model);
}

static void the_file_is_within_the_budget_and_better_than_every_single_format(void **unused)
{
    (void)unused;
    lp_model *model = open_model(true);
    static const double bits[] = {2.9, 4.2, 6.0};
    double before = INFINITY;
    for (size_t b = 0; b < sizeof bits / sizeof bits[0]; b++) {
        lp_allocation a;
        lp_allocate_options o = options_of((uint64_t)(bits[b] * (double)lp_model_get_info(model)->n_parameters / 8) + 4000);
        ok(lp_allocate(model, text, N_TEXT, &o, NULL, &a));
        uint64_t n = quantized_size(model, &a, "best.gguf");
        assert_int_equal(n, a.n_bytes);
        assert_true(n <= o.n_bytes && (double)n > 0.9 * (double)o.n_bytes);
        assert_true(a.optimal && a.lower_bound == a.objective);
        assert_true(a.joint.kl <= a.first.kl);
        for (int i = 0; i < a.n_singles; i++)
            if (a.singles[i].n_bytes <= o.n_bytes) assert_true(a.joint.kl <= a.singles[i].metrics.kl);
        assert_true(a.joint.kl < before);
        before = a.joint.kl;
        assert_int_equal(a.n_singles, 6);
        assert_true(a.work > 0 && a.work < 0.75);
        for (int i = 1; i < a.n_curve; i++) assert_true(a.curve[i].predicted <= a.curve[i - 1].predicted);
        lp_allocation_free(&a);
    }
    lp_model_close(model);
}

static void a_budget_below_the_smallest_file_is_refused_and_says_how_small_it_can_be(void **unused)
{
    (void)unused;
    lp_model *model = open_model(false);
    lp_allocation a;
    lp_allocate_options o = options_of(1000);
    assert_int_equal(lp_allocate(model, text, N_TEXT, &o, NULL, &a), LP_USAGE);
    const char *number = strstr(lp_error(), "give has ");
    assert_non_null(number);
    uint64_t least = strtoull(number + 9, NULL, 10);
    o.n_bytes = least + 62; /* the padding before the tensors is not known beforehand */
    ok(lp_allocate(model, text, N_TEXT, &o, NULL, &a));
    assert_int_equal(a.n_bytes, least);
    lp_allocation_free(&a);
    o.n_bytes = least - 1;
    assert_int_equal(lp_allocate(model, text, N_TEXT, &o, NULL, &a), LP_USAGE);
    lp_model_close(model);
}

static void a_rule_of_the_caller_holds(void **unused)
{
    (void)unused;
    lp_model *model = open_model(false);
    lp_allocation a;
    const lp_tensor_rule rule = {"*attn_v*", lp_packing_by_name("q8_0")};
    lp_allocate_options o = options_of((uint64_t)(4.5 * (double)lp_model_get_info(model)->n_parameters / 8) + 4000);
    o.quantize.rules = &rule;
    o.quantize.n_rules = 1;
    ok(lp_allocate(model, text, N_TEXT, &o, NULL, &a));
    assert_int_equal(a.table->n_classes, 14);
    assert_int_equal(quantized_size(model, &a, "rule.gguf"), a.n_bytes);
    lp_gguf *file;
    ok(lp_gguf_open(test_path("rule.gguf"), &file));
    assert_string_equal(lp_gguf_find_tensor(file, "blk.0.attn_v.weight")->packing->name, "q8_0");
    lp_gguf_close(file);
    lp_allocation_free(&a);
    lp_model_close(model);
}

static void estimates_from_a_few_formats_are_near_what_is_measured(void **unused)
{
    (void)unused;
    lp_model *model = open_model(true);
    lp_allocation all, few;
    lp_allocate_options o = options_of((uint64_t)(4.5 * (double)lp_model_get_info(model)->n_parameters / 8) + 4000);
    o.n_rounds = 0;
    ok(lp_allocate(model, text, N_TEXT, &o, NULL, &all));
    o.n_anchors = 2;
    ok(lp_allocate(model, text, N_TEXT, &o, NULL, &few));
    int n_estimated = 0, n_near = 0, n_options = 0;
    for (int64_t i = 0; i < all.table->n_classes; i++) {
        n_options += all.table->class_list[i].n_options;
        for (int j = 0; j < all.table->class_list[i].n_options; j++) {
            const lp_tensor_option *x = &all.table->class_list[i].option[j], *y = &few.table->class_list[i].option[j];
            assert_true(x->measured && x->local && y->local);
            assert_true(x->metrics.local_error == y->metrics.local_error);
            if (y->measured) {
                assert_memory_equal(&x->metrics, &y->metrics, sizeof x->metrics);
                continue;
            }
            n_estimated++;
            n_near += fabs(y->metrics.kl / x->metrics.kl - 1) < 0.25;
        }
    }
    assert_int_equal(n_estimated, n_options - 2 * all.table->n_classes);
    assert_true(n_near * 10 > n_estimated * 7);
    assert_true(few.joint.kl < 1.1 * all.joint.kl);
    lp_allocation_free(&all);
    lp_allocation_free(&few);
    lp_model_close(model);
}

static void a_time_that_cannot_be_met_is_refused_and_one_that_can_changes_nothing(void **unused)
{
    (void)unused;
    lp_model *model = open_model(false);
    lp_allocation a;
    lp_allocate_options o = options_of((uint64_t)(4.5 * (double)lp_model_get_info(model)->n_parameters / 8) + 4000);
    o.n_rounds = 0;
    o.milliseconds = 1e-6;
    assert_int_equal(lp_allocate(model, text, N_TEXT, &o, NULL, &a), LP_USAGE);
    assert_non_null(strstr(lp_error(), "on this machine"));
    o.milliseconds = 1e6;
    ok(lp_allocate(model, text, N_TEXT, &o, NULL, &a));
    assert_true(a.milliseconds > 0 && a.optimal);
    for (int j = 0; j < 6; j++) { /* an embedding that is only looked up takes no product */
        assert_true(a.table->class_list[0].option[j].ns == 0);
        assert_true(a.table->class_list[1].option[j].ns > 0);
    }
    lp_allocation untimed;
    o.milliseconds = 0;
    ok(lp_allocate(model, text, N_TEXT, &o, NULL, &untimed));
    assert_memory_equal(a.choice, untimed.choice, (size_t)a.table->n_classes * sizeof *a.choice);
    lp_allocation_free(&a);
    lp_allocation_free(&untimed);
    lp_model_close(model);
}

static void the_report_is_one_page_that_names_every_tensor_and_escapes_names(void **unused)
{
    (void)unused;
    lp_model *model = open_model(false);
    lp_allocation a;
    lp_allocate_options o = options_of((uint64_t)(4.5 * (double)lp_model_get_info(model)->n_parameters / 8) + 4000);
    o.n_rounds = 0;
    ok(lp_allocate(model, text, N_TEXT, &o, NULL, &a));
    const char *path = test_path("report.html");
    ok(lp_allocation_write_report(&a, "a<b>&\"c\".gguf", "out.gguf", path, false));
    assert_int_equal(lp_allocation_write_report(&a, "model", "out.gguf", path, false), LP_USAGE);
    char *page;
    size_t n;
    ok(lp_text_read(path, &page, &n));
    page = realloc(page, n + 1);
    assert_non_null(page);
    page[n] = 0;
    for (int64_t i = 0; i < a.table->n_classes; i++) assert_non_null(strstr(page, a.table->class_list[i].name));
    assert_non_null(strstr(page, "a&lt;b&gt;&amp;&quot;c&quot;.gguf"));
    assert_non_null(strstr(page, "</html>"));
    static const char *const outside[] = {"<script", "http:", "https:", "src=", "href=", "@import", "nan", "inf\""};
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) assert_null(strstr(page, outside[i]));
    free(page);
    lp_allocation_free(&a);
    lp_model_close(model);
}

static void formats_of_our_own_are_candidates_beside_those_of_gguf(void **unused)
{
    (void)unused;
    static const char *const mixed[] = {"i3:32:f16", "iq4nl:16:(i6:16:f16)", "q4_k", "q6_k"};
    lp_model *model = open_model(false);
    lp_allocation a;
    for (int bits = 4; bits <= 6; bits++) {
        lp_allocate_options o = options_of((uint64_t)(bits * (double)lp_model_get_info(model)->n_parameters / 8) + 6000);
        o.formats = mixed;
        o.n_formats = 4;
        o.n_rounds = 1;
        o.milliseconds = 1e6;
        ok(lp_allocate(model, text, N_TEXT, &o, NULL, &a));
        assert_int_equal(quantized_size(model, &a, "own.gguf"), a.n_bytes);
        assert_true(a.n_bytes <= o.n_bytes);
        int n_own = 0;
        for (int r = 0; r < a.n_rules; r++) n_own += a.rules[r].packing->format != NULL;
        assert_true(bits == 6 || n_own > 0);
        for (int i = 0; i < a.n_singles; i++)
            if (a.singles[i].n_bytes <= o.n_bytes) assert_true(a.joint.kl <= a.singles[i].metrics.kl);
        lp_allocation_free(&a);
    }
    lp_model_close(model);
}

/* llama.cpp must be able to run what was asked for as gguf; what is asked for as own holds nothing that loses more for its bits. */
static void a_word_stands_for_the_formats_of_gguf_or_for_our_own(void **unused)
{
    (void)unused;
    static const char *const words[] = {LP_CANDIDATES_GGUF, LP_CANDIDATES_OWN};
    lp_model *model = open_model(false);
    int n_own[3] = {0};
    double kl[3];
    for (int i = 0; i < 3; i++) { /* the last with both */
        lp_allocation a;
        lp_allocate_options o = options_of((uint64_t)(4.5 * (double)lp_model_get_info(model)->n_parameters / 8) + 6000);
        o.formats = words + i % 2;
        o.n_formats = 1;
        if (i == 2) o.formats = words, o.n_formats = 2;
        o.n_rounds = 0;
        o.n_anchors = 1;
        ok(lp_allocate(model, text, N_TEXT, &o, NULL, &a));
        for (int k = 0; k < a.n_packings; k++) n_own[i] += a.packings[k]->format != NULL;
        assert_true(i == 2 || a.n_packings >= 4);
        assert_true(a.n_bytes <= o.n_bytes);
        kl[i] = a.joint.kl;
        lp_allocation_free(&a);
    }
    assert_int_equal(n_own[0], 0);
    assert_true(n_own[1] >= 4);
    assert_int_equal(n_own[2], n_own[1]);
    print_message("at the same size: gguf %.5f, own %.5f, both %.5f nats\n", kl[0], kl[1], kl[2]);
    lp_model_close(model);
}

/* ---- the table ------------------------------------------------------------------------------------------------------- */

static void a_table_is_used_again_with_the_same_result_and_read_back_to_the_last_bit(void **unused)
{
    (void)unused;
    lp_model *model = open_model(true);
    lp_allocation first, second;
    lp_sensitivity *table;
    const char *path = test_path("table.json");
    lp_allocate_options o = options_of((uint64_t)(4.5 * (double)lp_model_get_info(model)->n_parameters / 8) + 4000);
    o.table = path;
    o.n_rounds = 0;
    ok(lp_allocate(model, text, N_TEXT, &o, NULL, &first));
    ok(lp_sensitivity_read(path, &table));
    assert_int_equal(table->n_classes, first.table->n_classes);
    for (int64_t i = 0; i < table->n_classes; i++) {
        const lp_tensor_class *c = &table->class_list[i], *want = &first.table->class_list[i];
        assert_string_equal(c->name, want->name);
        assert_int_equal(c->n_options, want->n_options);
        for (int j = 0; j < c->n_options; j++) {
            assert_string_equal(c->option[j].format, want->option[j].format);
            assert_memory_equal(&c->option[j].metrics, &want->option[j].metrics, sizeof c->option[j].metrics);
        }
    }
    lp_sensitivity_free(table);
    ok(lp_allocate(model, text, N_TEXT, &o, NULL, &second));
    assert_true(second.work > 0.99); /* only whole forwards: nothing was measured again */
    assert_memory_equal(first.choice, second.choice, (size_t)first.table->n_classes * sizeof *first.choice);
    assert_true(first.joint.kl == second.joint.kl);
    lp_allocation_free(&first);
    lp_allocation_free(&second);
    lp_model_close(model);
}

static void tables_of_another_model_or_text_are_refused(void **unused)
{
    (void)unused;
    lp_model *tied = open_model(true), *untied = open_model(false);
    lp_allocation a;
    lp_allocate_options o = options_of((uint64_t)(4.5 * (double)lp_model_get_info(tied)->n_parameters / 8) + 4000);
    o.table = test_path("other.json");
    o.n_rounds = 0;
    ok(lp_allocate(tied, text, N_TEXT, &o, NULL, &a));
    lp_allocation_free(&a);
    assert_int_equal(lp_allocate(tied, text, N_TEXT - 1, &o, NULL, &a), LP_USAGE);
    assert_non_null(strstr(lp_error(), "another text"));
    o.n_bytes *= 2;
    assert_int_equal(lp_allocate(untied, text, N_TEXT, &o, NULL, &a), LP_USAGE);
    assert_non_null(strstr(lp_error(), "another model"));
    lp_model_close(tied);
    lp_model_close(untied);
}

static void damaged_tables_are_refused(void **unused)
{
    (void)unused;
    static const char *const texts[] = {
        "", "{}", "[1]", "{\"schema\":\"lowp.sensitivity/1\"}", "{\"schema\":\"lowp.sensitivity/1\",\"tensors\":[]}",
        "{\"schema\":\"lowp.sensitivity/1\",\"model_sha256\":\"a\",\"text_sha256\":\"b\",\"stats_sha256\":\"\",\"recipe\":\"rtn\","
        "\"n_context\":1,\"n_windows\":1,\"n_predictions\":1,\"tensors\":[{\"name\":\"x\",\"options\":[{\"format\":\"q4_k\",\"n_bytes\":1,\"measured\":true}]}]}",
        "{\"schema\":\"lowp.sensitivity/1\",\"model_sha256\":\"a\",\"text_sha256\":\"b\",\"stats_sha256\":\"\",\"recipe\":\"rtn\","
        "\"n_context\":1,\"n_windows\":1,\"n_predictions\":1,\"tensors\":[{\"name\":1,\"options\":[]}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        lp_sensitivity *table = (void *)1;
        FILE *f = fopen(test_path("damaged.json"), "w");
        assert_non_null(f);
        fputs(texts[i], f);
        fclose(f);
        assert_int_equal(lp_sensitivity_read(test_path("damaged.json"), &table), LP_INPUT);
        assert_null(table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_swap_after_kept_activations_is_the_whole_forward_to_the_last_bit),
        cmocka_unit_test(a_tied_embedding_is_one_class_that_both_its_readers_see),
        cmocka_unit_test(all_tensors_swapped_are_what_compare_says_of_the_file),
        cmocka_unit_test(threads_change_no_bit_of_a_sensitivity),
        cmocka_unit_test(tensors_must_come_in_the_order_of_the_forward),
        cmocka_unit_test(the_file_is_within_the_budget_and_better_than_every_single_format),
        cmocka_unit_test(candidates_may_be_made_by_another_recipe_than_the_file),
        cmocka_unit_test(a_budget_below_the_smallest_file_is_refused_and_says_how_small_it_can_be),
        cmocka_unit_test(a_rule_of_the_caller_holds),
        cmocka_unit_test(formats_of_our_own_are_candidates_beside_those_of_gguf),
        cmocka_unit_test(a_word_stands_for_the_formats_of_gguf_or_for_our_own),
        cmocka_unit_test(estimates_from_a_few_formats_are_near_what_is_measured),
        cmocka_unit_test(a_time_that_cannot_be_met_is_refused_and_one_that_can_changes_nothing),
        cmocka_unit_test(the_report_is_one_page_that_names_every_tensor_and_escapes_names),
        cmocka_unit_test(a_table_is_used_again_with_the_same_result_and_read_back_to_the_last_bit),
        cmocka_unit_test(tables_of_another_model_or_text_are_refused),
        cmocka_unit_test(damaged_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, make_text, NULL);
}
