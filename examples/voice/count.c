/* Counts the instructions of a hop on the emulated boards of this repository's tests; measure.py
 * builds it. PART 0 is the program without the detector, 1 has the features, 2 the network too. */
#include "board.h"
#include "pcm.h" /* static const int16_t pcm[HOPS][160] */

#if PART > 0
#include "mel.h"
static mel_state mel;
#endif
#if PART > 1
#define VOICE_IMPLEMENTATION
#include VOICE
static voice_state voice;
#endif

static void print(const char *name, uint32_t value)
{
    board_text(name);
    board_text(" ");
    board_number(value);
    board_text("\n");
}

int program(void)
{
    uint32_t features = 0, network = 0, deepest = 0, from, depth;
    float bands[24] = {0.0f}, probability = 0.0f;
#if PART > 0
    mel_init(&mel);
    print("mel_bytes", sizeof mel);
#endif
#if PART > 1
    voice_reset(&voice);
    print("voice_bytes", sizeof voice);
#endif
    for (int hop = 0; hop < HOPS; ++hop) {
        bands[0] += (float)pcm[hop][0];
        board_paint();
        from = board_now();
#if PART > 0
        mel_step(&mel, pcm[hop], bands);
#endif
        features += board_since(from);
        from = board_now();
#if PART > 1
        voice_step(&voice, bands, &probability);
#endif
        network += board_since(from);
        depth = board_stack();
        if (depth > deepest) deepest = depth;
        board_text("p ");
        board_float(PART > 1 ? probability : bands[0]);
        board_text("\n");
    }
    print("features", features / HOPS);
    print("network", network / HOPS);
    print("stack", deepest);
    return 0;
}
