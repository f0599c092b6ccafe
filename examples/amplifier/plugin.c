/* An LV2 plug-in around the generated headers: audio in, audio out, loudness of the string. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include <lv2/core/lv2.h>

#define AMP_IMPLEMENTATION
#include "amp.h"
#define AMP48_IMPLEMENTATION
#include "amp48.h"

enum { IN, OUT, DRIVE };

typedef struct {
    const float *in;
    float *out;
    const float *drive; /* dB, before the amplifier */
    double rate;
    union {
        amp_state at44;
        amp48_state at48;
    } state;
} plugin;

static LV2_Handle instantiate(const LV2_Descriptor *descriptor, double rate, const char *bundle,
                              const LV2_Feature *const *features)
{
    plugin *self;
    (void)descriptor;
    (void)bundle;
    (void)features;
    /* At another rate the model is another amplifier: convert it for that with --rate-ratio. */
    if (rate != AMP_SAMPLE_RATE && rate != AMP48_SAMPLE_RATE) return NULL;
    self = calloc(1, sizeof *self);
    if (self) self->rate = rate;
    return self;
}

static void connect_port(LV2_Handle instance, uint32_t port, void *data)
{
    plugin *self = instance;
    switch (port) {
    case IN: self->in = data; break;
    case OUT: self->out = data; break;
    case DRIVE: self->drive = data; break;
    default: break;
    }
}

static void activate(LV2_Handle instance)
{
    plugin *self = instance;
    /* As after silence: the headers were made with --prewarm. */
    if (self->rate == AMP_SAMPLE_RATE) amp_reset(&self->state.at44);
    else amp48_reset(&self->state.at48);
}

static void run(LV2_Handle instance, uint32_t samples)
{
    plugin *self = instance;
    const float gain = powf(10.0f, *self->drive / 20.0f);
    for (uint32_t n = 0; n < samples; ++n) {
        const float x = gain * self->in[n]; /* a copy, since in and out may be one buffer */
        if (self->rate == AMP_SAMPLE_RATE) amp_step(&self->state.at44, &x, &self->out[n]);
        else amp48_step(&self->state.at48, &x, &self->out[n]);
    }
}

static const LV2_Descriptor amp = {
    "urn:rnn-codegen:amp", instantiate, connect_port, activate, run, NULL, free, NULL,
};

LV2_SYMBOL_EXPORT const LV2_Descriptor *lv2_descriptor(uint32_t index)
{
    return index == 0 ? &amp : NULL;
}
