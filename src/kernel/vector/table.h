/* The table entries that every instruction set fills from the templates of this folder; included last, after its own
 * quantize_i8. */
static void set_vector_kernels(lp_kernels *kernels)
{
    kernels->quantize_i8 = quantize_i8;
    kernels->linear_f32 = linear_f32;
    kernels->rms_norm = rms_norm;
    kernels->rope_pairs = rope_pairs;
    kernels->silu_mul = silu_mul;
    kernels->add = add;
    kernels->layer_norm = layer_norm;
    kernels->rope_halves = rope_halves;
    kernels->gelu = gelu;
    kernels->gelu_mul = gelu_mul;
    kernels->scale = scale;
    kernels->soft_cap = soft_cap;
    kernels->attention_window = attention_window;
    kernels->attention = attention;
    kernels->exp_f32 = exp_f32;
    kernels->exp_sum = exp_sum;
    kernels->kl_sum = kl_sum;
    kernels->dot_f32 = dot_f32;
}
