// Prints how long a step of the model takes: in microseconds, and in cycles of the processor where
// it counts them (Cortex-M3, M4, M7, M33: DWT->CYCCNT).
#include <Pulse.h>

#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__) || defined(__ARM_ARCH_8M_MAIN__)
#define COUNTS_CYCLES 1
// DEMCR, DWT->CTRL and DWT->CYCCNT, the same on all these cores: not every board package has CMSIS.
#define DEBUG_CONTROL (*(volatile uint32_t *)0xE000EDFCu)  // bit 24 switches the counter unit on
#define CYCLES_CONTROL (*(volatile uint32_t *)0xE0001000u)  // bit 0 starts the counter
#define CYCLES (*(volatile uint32_t *)0xE0001004u)
#else
#define COUNTS_CYCLES 0
#endif

static const int STEPS = 100;
static pulse_state state;
static float x0[PULSE_INPUT_0_SIZE];
static float y0[PULSE_OUTPUT_0_SIZE];

void setup() {
  Serial.begin(115200);
  pulse_reset(&state);
#if COUNTS_CYCLES
  DEBUG_CONTROL |= 1ul << 24;
  CYCLES = 0;
  CYCLES_CONTROL |= 1;
#endif
}

void loop() {
  const unsigned long start = micros();
  for (int t = 0; t < STEPS; ++t) pulse_step(&state, x0, y0);
  const unsigned long spent = micros() - start;
  Serial.print((float)spent / STEPS, 2);
  Serial.print(" us");
#if COUNTS_CYCLES
  // The fewest of some steps: one that no interrupt has made longer.
  uint32_t fewest = 0xFFFFFFFFu;
  for (int t = 0; t < STEPS; ++t) {
    const uint32_t before = CYCLES;
    pulse_step(&state, x0, y0);
    const uint32_t cycles = CYCLES - before;
    if (cycles < fewest) fewest = cycles;
  }
  Serial.print(", ");
  Serial.print((unsigned long)fewest);
  Serial.print(" cycles");
#endif
  Serial.println(" a step");
  delay(1000);
}
