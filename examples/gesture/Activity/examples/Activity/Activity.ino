// Runs one step of the model every 10 ms and prints its output.
#include <Activity.h>

static activity_state state;  // one for each stream
static int16_t x0[ACTIVITY_INPUT_0_SIZE];
static int16_t y0[ACTIVITY_OUTPUT_0_SIZE];

void setup() {
  Serial.begin(115200);
  activity_reset(&state);
}

void loop() {
  // Put your own readings here, scaled as they were in training.
  // A value is the number / 2^ACTIVITY_INPUT_0_FRACTION.
  for (int i = 0; i < ACTIVITY_INPUT_0_SIZE; ++i) x0[i] = (int16_t)analogRead(A0);
  if (activity_step(&state, x0, y0)) {  // 0 while it warms up
    for (int i = 0; i < ACTIVITY_OUTPUT_0_SIZE; ++i) {
      Serial.print(y0[i]);
      Serial.print(' ');
    }
    Serial.println();
  }
  delay(10);
}
