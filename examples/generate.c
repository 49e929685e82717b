/* Continues a text, token by token: tokenizer, session, sampler.
 *
 *   build/examples/generate embedded "It was a dark and" 40
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/lowp.h>

static void check(lp_status status)
{
    if (status == LP_OK) return;
    fprintf(stderr, "%s\n", lp_error());
    exit((int)status);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL PROMPT TOKENS\n", argv[0]);
        return LP_USAGE;
    }
    const char *prompt = argv[2];
    int n_tokens = atoi(argv[3]);

    lp_model *model;
    check(lp_model_open(argv[1], &model));
    const lp_tokenizer *tokenizer = lp_model_tokenizer(model);

    lp_pool *pool;
    lp_session *session;
    check(lp_pool_create(0, &pool));
    check(lp_session_create(model, &(lp_session_options){.pool = pool, .n_logits = 1}, NULL, &session));

    lp_sampler *sampler;
    lp_sampler_options options = lp_sampler_defaults();
    options.seed = 1;
    check(lp_sampler_create(&options, (int32_t)lp_model_get_info(model)->n_vocab, &sampler));

    int32_t *ids;
    size_t n_ids;
    check(lp_tokenizer_encode(tokenizer, prompt, strlen(prompt), false, true, &ids, &n_ids));
    fputs(prompt, stdout);

    /* The prompt goes through the model token by token (a batch would be faster), then what the model adds. */
    const float *logits = NULL;
    for (size_t i = 0; i < n_ids; i++) {
        int32_t position = (int32_t)i;
        lp_sampler_accept(sampler, ids[i]);
        check(lp_session_forward(session, &(lp_batch){.n_tokens = 1, .token = &ids[i], .position = &position}, &logits));
    }
    for (int i = 0; logits && i < n_tokens; i++) {
        int32_t token, position = (int32_t)lp_session_length(session, 0);
        check(lp_sampler_draw(sampler, logits, &token));
        if (lp_tokenizer_ends_generation(tokenizer, token)) break;
        lp_sampler_accept(sampler, token);
        lp_string text = lp_tokenizer_bytes(tokenizer, token, false);
        fwrite(text.data, 1, text.n, stdout);
        fflush(stdout);
        check(lp_session_forward(session, &(lp_batch){.n_tokens = 1, .token = &token, .position = &position}, &logits));
    }
    putchar('\n');

    free(ids);
    lp_sampler_free(sampler);
    lp_session_close(session);
    lp_pool_destroy(pool);
    lp_model_close(model);
    return 0;
}
