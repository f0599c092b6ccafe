/* What a reading takes on an emulated board, and how large the network is: with WITHOUT the program
 * is the same but for it. */
#include <motion.h>

#include "board.h"
#include "readings.h"

static motion filter;
#ifndef WITHOUT
static activity_state state;
#endif

int program(void)
{
    uint32_t taken = 0, most = 0, deepest = 0;
#ifndef WITHOUT
    activity_reset(&state);
#endif
    for (int t = 0; t < READINGS; ++t) {
        motion_number x[ACTIVITY_INPUT_0_SIZE], y[ACTIVITY_OUTPUT_0_SIZE] = {0};
        uint32_t from, depth;
        board_paint();
        from = board_now();
        motion_input(&filter, readings[t], readings[t] + 3, x);
#ifndef WITHOUT
        activity_step(&state, x, y);
#endif
        taken = board_since(from);
        depth = board_stack();
        if (taken > most) most = taken;
        if (depth > deepest) deepest = depth;
        board_text(motion_names[motion_class(y)]);
        board_text("\n");
    }
    board_text("instructions ");
    board_number(most);
    board_text("\nstack ");
    board_number(deepest);
    board_text("\n");
    return 0;
}
