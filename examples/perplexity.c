/* How much less sure is a quantized model? Quantizes a model, then compares both on a text.
 *
 *   build/examples/perplexity embedded q4_k /tmp/small.gguf
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <lowp/lowp.h>

/* Every function returns a status; the words are in lp_error(). */
static void check(lp_status status)
{
    if (status == LP_OK) return;
    fprintf(stderr, "%s\n", lp_error());
    exit((int)status);
}

static void quantize(const char *model, const char *format, const char *output, lp_pool *pool)
{
    const lp_packing *packing = lp_packing_by_name(format);
    if (!packing || !packing->can_encode) {
        fprintf(stderr, "unknown format %s\n", format);
        exit(LP_USAGE);
    }
    lp_gguf *source;
    lp_quantize_result result;
    check(lp_container_open(model, &source));
    check(lp_quantize(source, output, &(lp_quantize_options){.packing = packing, .force = true, .pool = pool}, NULL, &result));
    printf("%s: %.2f bits per weight\n", output, result.bits_per_weight);
    lp_quantize_result_free(&result);
    lp_gguf_close(source);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL FORMAT OUTPUT\n", argv[0]);
        return LP_USAGE;
    }
    lp_pool *pool; /* one thread per processor; results do not depend on their number */
    check(lp_pool_create(0, &pool));
    quantize(argv[1], argv[2], argv[3], pool);

    lp_model *reference, *model;
    check(lp_model_open(argv[1], &reference));
    check(lp_model_open(argv[3], &model));

    char *text;
    size_t n_text;
    check(lp_text_read("embedded", &text, &n_text));

    lp_compare_result result;
    lp_eval_options options = {.n_context = 256, .n_windows = 4, .pool = pool};
    check(lp_compare(reference, model, text, n_text, &options, NULL, &result, NULL));
    printf("KL divergence %.5f nats, same first choice %.1f %%, perplexity %.3f -> %.3f\n", result.kl_mean_nats,
           100 * result.top1_agreement, exp(result.reference_cross_entropy_nats), exp(result.cross_entropy_nats));

    free(text);
    lp_model_close(model);
    lp_model_close(reference);
    lp_pool_destroy(pool);
    return 0;
}
