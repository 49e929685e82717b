/* lowp methods: quantization methods by name, and the stages that recipes are made of. */
#include "cli.h"

static lp_status list_json(void)
{
    cli_json json;
    cli_json_begin(&json, "methods");
    cli_json_array(&json, "methods");
    for (int i = 0; i < lp_method_count(); i++) {
        const lp_method *method = lp_method_at(i);
        bool calibrated;
        lp_status status = lp_recipe_check(method->recipe, &calibrated);
        if (status) return status;
        cli_json_object(&json, NULL);
        cli_json_text(&json, "name", method->name);
        cli_json_text(&json, "recipe", method->recipe);
        cli_json_text(&json, "source", method->source);
        cli_json_bool(&json, "needs_calibration", calibrated);
        cli_json_close(&json);
    }
    cli_json_close(&json);
    cli_json_array(&json, "stages");
    for (int i = 0; i < lp_stage_count(); i++) {
        lp_stage stage = lp_stage_at(i);
        cli_json_object(&json, NULL);
        cli_json_text(&json, "name", stage.name);
        cli_json_text(&json, "note", stage.note);
        cli_json_close(&json);
    }
    cli_json_close(&json);
    cli_json_end(&json);
    return LP_OK;
}

static void list_table(void)
{
    cli_table *table = cli_table_create("method|recipe|what it is");
    for (int i = 0; i < lp_method_count(); i++) {
        const lp_method *method = lp_method_at(i);
        cli_table_cell(table, "%s", method->name);
        cli_table_cell(table, "%s", method->recipe);
        cli_table_cell(table, "%s", method->source);
    }
    cli_table_print(table, cli_out());
    fputs("\nStages, which a recipe joins by +:\n\n", cli_out());
    table = cli_table_create("stage|what it does, parameters and their defaults");
    for (int i = 0; i < lp_stage_count(); i++) {
        lp_stage stage = lp_stage_at(i);
        cli_table_cell(table, "%s", stage.name);
        cli_table_cell(table, "%s", stage.note);
    }
    cli_table_print(table, cli_out());
    fputs("\n'lowp quantize --recipe NAME' takes a method or a recipe; 'lowp compare' tells what a file lost.\n", cli_out());
}

static lp_status run(const void *argument)
{
    const cli_common *common = argument;
    if (common->json) return list_json();
    list_table();
    return LP_OK;
}

static const cli_common defaults = {0};

const cli_verb cli_methods = {
    .name = "methods",
    .usage = "",
    .summary = "quantization methods: their recipes and where they come from",
    .details = "A recipe is a list of stages, each with parameters: 'gptq(damp=0.01,order=act)+descend(passes=4)'. A method is a "
               "name for a recipe. Stages that measure need a text: quantize --calibration TEXT.",
    .examples = "lowp methods\nlowp methods --json\n"
                "lowp quantize embedded -o gptq.gguf --format q4_0 --recipe gptq --calibration embedded-calibration --calibration-windows 4\n",
    .options = {NULL},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .run = run,
};
