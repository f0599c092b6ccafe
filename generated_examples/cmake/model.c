/* The one source file that holds the model, with its self-test. */
#define SEED_IMPLEMENTATION
#define SEED_SELFTEST
#include "seed.h"
