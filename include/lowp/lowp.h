/* All of lowp's public interface. */
#ifndef LOWP_LOWP_H
#define LOWP_LOWP_H

#include <lowp/allocate.h>
#include <lowp/arith.h>
#include <lowp/bench.h>
#include <lowp/calibrate.h>
#include <lowp/chat.h>
#include <lowp/convert.h>
#include <lowp/format.h>
#include <lowp/gguf.h>
#include <lowp/isa.h>
#include <lowp/measure.h>
#include <lowp/model.h>
#include <lowp/pool.h>
#include <lowp/progress.h>
#include <lowp/quantize.h>
#include <lowp/round.h>
#include <lowp/sample.h>
#include <lowp/session.h>
#include <lowp/status.h>
#include <lowp/tensor.h>
#include <lowp/tokenizer.h>

#endif
