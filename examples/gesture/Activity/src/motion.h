/* motion.h: readings of a sensor as the network was trained to see them, in integers alone.
 *
 * An accelerometer measures gravity, too. Its slow part, a mean over 16 readings (1.6 s), is taken
 * away; prepare() of motion.py does the same in training. Accelerations go in as g, rotations as
 * turns a second, both times 2^ACTIVITY_INPUT_0_FRACTION.
 */
#ifndef MOTION_H
#define MOTION_H

#include <Activity.h>

#ifdef ACTIVITY_INPUT_0_FRACTION
typedef int16_t motion_number;
#define MOTION_ONE (1L << ACTIVITY_INPUT_0_FRACTION)
#define MOTION_LIMIT(q) ((q) > 32767 ? 32767 : (q) < -32768 ? -32768 : (q))
#else /* the library in floats */
typedef float motion_number;
#define MOTION_ONE 1.0f
#define MOTION_LIMIT(q) (q)
#endif

typedef struct {
    int32_t gravity[3]; /* times 16 */
    int started;
} motion;

static const char *const motion_names[] = {"Standing", "Walking", "Running", "Badminton"};

/* One reading: mg in thousandths of g, dps in degrees a second; x: the input of activity_step. */
static void motion_input(motion *m, const int16_t *mg, const int16_t *dps, motion_number *x)
{
    for (int i = 0; i < 3; ++i) {
        if (!m->started) m->gravity[i] = 16L * mg[i];
        m->gravity[i] += mg[i] - m->gravity[i] / 16;
        x[i] = (motion_number)MOTION_LIMIT((mg[i] - m->gravity[i] / 16) * MOTION_ONE / 1000);
        x[3 + i] = (motion_number)MOTION_LIMIT(dps[i] * MOTION_ONE / 360);
    }
    m->started = 1;
}

/* Which activity the output is of. */
static int motion_class(const motion_number *y)
{
    int best = 0;
    for (int k = 1; k < ACTIVITY_OUTPUT_0_SIZE; ++k) {
        if (y[k] > y[best]) best = k;
    }
    return best;
}

#endif
